// The library's modules come out of a few files, and are what they would be if each came out of its own.
import { execFileSync } from "node:child_process";
import { cpSync, readFileSync } from "node:fs";
import { SourceMap } from "node:module";
import path from "node:path";
import { expect, test } from "vitest";
import { temporaryFolder } from "./helpers/temporary.js";

const root = path.join(__dirname, "..");
const folder = temporaryFolder();

/** What a program, in a process of its own, says. */
function run(program: string, { cwd = root, options = [] as string[] } = {}): unknown {
  const script = `const say = (value) => console.log(JSON.stringify(value)); ${program}`;
  return JSON.parse(execFileSync(process.execPath, [...options, "-e", script], { cwd, encoding: "utf8" }));
}

/** The modules in the packs, by the paths of their own files. */
const packed = `
  const added = [];
  const { addBodies } = require("./dist/lib/packed.js");
  require("./dist/lib/packed.js").addBodies = (bodies) => {
    added.push(...Object.keys(bodies));
    addBodies(bodies);
  };
  const { load } = require("./dist/lib/rest.pack.js");
  const own = (name) => require("./dist/lib/" + name);`;

test.each([
  ["before the pack's", "own(name) === load(name)"],
  ["after the pack's", "load(name) === own(name)"],
])("whoever requires a module's own file %s gets the same module", (_, same) => {
  const others = run(`${packed} say([added.length > 100, added.filter((name) => !(${same}))])`);
  expect(others).toEqual([true, []]);
});

test("every module that the entry's names need is in a pack", () => {
  const apart = run(`
    const api = require("./dist/lib/index.js");
    const fs = require("node:fs");
    const read = [];
    const { readFileSync } = fs;
    fs.readFileSync = (file, ...rest) => {
      if (String(file).endsWith(".js")) read.push(file.slice(process.cwd().length + 1));
      return readFileSync(file, ...rest);
    };
    for (const name of Object.keys(api)) api[name];
    say(read.sort());`);
  expect(apart).toEqual(["dist/lib/packed.js", "dist/lib/rest.pack.js", "dist/lib/worker.pack.js"]);
});

test("one that fails is tried again by whoever asks again", () => {
  cpSync(path.join(root, "dist/lib"), path.join(folder, "dist/lib"), { recursive: true });
  const codes = run(
    `const { load } = require("./dist/lib/worker.pack.js");
     const code = () => { try { load("native.js"); } catch (error) { return error.code; } };
     say([code(), code()]);`,
    { cwd: folder },
  );
  expect(codes).toEqual(["ERR_CUDA_IPC_ADDON", "ERR_CUDA_IPC_ADDON"]);
});

test("stacks name the sources where source maps are asked for", () => {
  const stack = run(
    `require("./dist/lib/index.js").attach("").catch((error) => say(error.stack.split("\\n")));`,
    { options: ["--enable-source-maps"] },
  );
  const line = (file: string) => expect.stringMatching(new RegExp(`${root}/lib/${file}:\\d+:\\d+\\)$`));
  expect(stack).toContainEqual(line("sharing/set-name.ts"));
  expect(stack).toContainEqual(line("sharing/attach.ts"));
});

test.each(["worker", "rest"])(
  "every line of the %s's pack comes from where its module's own line does",
  (name) => {
    const library = path.join(root, "dist/lib");
    const mapOf = (file: string) => new SourceMap(JSON.parse(readFileSync(`${file}.map`, "utf8")));
    const pack = path.join(library, `${name}.pack.js`);
    const packMap = mapOf(pack);
    const place = (map: SourceMap, folder: string, line: number, column: number) => {
      const entry = map.findEntry(line, column);
      if (!("originalSource" in entry)) return undefined;
      return [path.resolve(folder, entry.originalSource), entry.originalLine, entry.originalColumn];
    };
    const lines = readFileSync(pack, "utf8").split("\n");
    let compared = 0;
    for (const [at, line] of lines.entries()) {
      const file = /^("[^"]+\.js"): \(?function \(exports/.exec(line)?.[1];
      if (file === undefined || file.includes("validators")) continue;
      const own = path.join(library, JSON.parse(file));
      const ownMap = mapOf(own);
      const length = readFileSync(own, "utf8").split("\n").length - 1;
      for (let n = 0; n < length; n++) {
        const text = lines[at + 1 + n]!;
        for (const column of [text.search(/\S/), text.indexOf("("), text.length]) {
          if (column < 0) continue;
          const expected = place(ownMap, path.dirname(own), n, column);
          // What has no place of its own has that of whatever is before it.
          if (expected === undefined) continue;
          expect(place(packMap, library, at + 1 + n, column), `${file} ${n}`).toEqual(expected);
          compared++;
        }
      }
    }
    expect(compared).toBeGreaterThan(1000);
  },
);

test.each([
  [
    "cached elsewhere",
    `const Module = require("node:module");
     const foreign = new Module(file);
     foreign.load(file);`,
  ],
  [
    "plain objects in a cache of their own, as Jest's",
    `const foreign = { exports: {}, id: file, filename: file };
     const requireFrom = Object.assign((id) => require(id), { cache: { [file]: foreign } });
     const code = require("node:fs").readFileSync(file, "utf8");
     new Function("exports", "require", "module", "__filename", "__dirname", code)
       .call(foreign.exports, foreign.exports, requireFrom, foreign, file, path.dirname(file));`,
  ],
])("where modules are not Node's own, but %s, each comes out of its file", (_, load) => {
  const result = run(`
    const path = require("node:path");
    const file = require.resolve("./dist/lib/packed.js");
    ${load}
    foreign.exports.addBodies({ "errors.js"() { throw new Error("taken from the pack"); } });
    say(foreign.exports.load("errors.js") === require("./dist/lib/errors.js"));`);
  expect(result).toBe(true);
});
