// Builds the console into the directory that is named: the same bytes each time.
import { copyFile, mkdir, readFile, writeFile } from "node:fs/promises";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = fileURLToPath(new URL(".", import.meta.url));
const out = process.argv[2];
if (!out) throw new Error("usage: node build.mjs DIRECTORY");

// Preact is part of what is built, and its licence has to go with it.
const licence = await readFile(`${here}node_modules/preact/LICENSE`, "utf8");

const built = await build({
  absWorkingDir: here,
  entryPoints: [
    { in: "src/console.tsx", out: "console" },
    { in: "src/console.css", out: "console" },
    { in: "src/docs/docs.tsx", out: "docs" },
    { in: "src/docs/docs.css", out: "docs" },
  ],
  outdir: "src",
  write: false,
  bundle: true,
  minify: true,
  format: "esm",
  target: ["chrome110", "firefox115", "safari16"],
  jsx: "automatic",
  jsxImportSource: "preact",
  banner: { js: `/*! preact\n${licence}*/` },
});
await mkdir(out, { recursive: true });
for (const file of built.outputFiles) await writeFile(`${out}/${basename(file.path)}`, file.contents);
for (const name of ["index.html", "docs.html", "icon.svg"]) await copyFile(`${here}src/${name}`, `${out}/${name}`);
