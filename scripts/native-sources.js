// Prints C++ sources for binding.gyp, one per line, so that adding a file needs no second edit: the addon's, or with
// --early those of the library that is preloaded.
const { readdirSync } = require("node:fs");
const path = require("node:path");

function sources(directory) {
  return readdirSync(directory, { withFileTypes: true })
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) => {
      const file = path.posix.join(directory, entry.name);
      if (entry.isDirectory()) return sources(file);
      return entry.name.endsWith(".cc") ? [file] : [];
    });
}

process.chdir(path.join(__dirname, ".."));
const early = sources("native/early");
const found = process.argv.includes("--early")
  ? early
  : sources("native").filter((file) => !early.includes(file));
console.log(found.join("\n"));
