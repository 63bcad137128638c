// Package automation makes the automation API's configuration file (contract B)
// work as it is: the file's section webHook becomes a subscription record, and
// follows the file when it changes.
package automation
