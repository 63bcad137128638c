// Package recordfile reads and writes subscription records as files, JSON or YAML: one record a file, or several.
//
// A file holds records as documents (in YAML with --- between them, in JSON one after the other) or as one list. Each
// says its id by its member id; a record that is alone in its file may leave it out, and has the id that the file is
// named by. What is wrong is told with file and line. Both forms are read strictly: a member that is given twice, a
// merge key and a number that JSON does not know are errors, not guesses.
package recordfile
