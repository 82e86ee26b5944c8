// Checks that the C++ and CUDA sources are formatted as .clang-format says; with --fix, formats them.
const { spawnSync } = require("node:child_process");
const { existsSync, readdirSync } = require("node:fs");
const path = require("node:path");

const root = path.join(__dirname, "..");
const folders = ["native", "test/native", "bench"];
const formatter = path.join(
  path.dirname(require.resolve("clang-format/package.json")),
  `bin/${process.platform}_${process.arch}/clang-format`,
);

function sources(folder) {
  return readdirSync(path.join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const file = path.posix.join(folder, entry.name);
    if (entry.isDirectory()) return sources(file);
    return /\.(cc|h|cu)$/.test(entry.name) ? [file] : [];
  });
}

// Another version would format differently, so one that is installed on the machine is no substitute.
if (!existsSync(formatter)) {
  console.log(
    `lint-native: the clang-format package has no binary for ${process.platform}-${process.arch}; not checked`,
  );
  process.exit(0);
}
const files = folders.flatMap(sources);
const mode = process.argv.includes("--fix") ? ["-i"] : ["--dry-run", "--Werror"];
const { status, error } = spawnSync(formatter, [...mode, ...files], { cwd: root, stdio: "inherit" });
if (error) throw error;
if (status !== 0) {
  console.error("lint-native: these C++ sources are not formatted: npm run format");
  process.exit(1);
}
console.log(`lint-native: ${files.length} files are formatted`);
