// What a process loads before it can attach: every file counts when workers are started by the dozen.
import { execFileSync } from "node:child_process";
import path from "node:path";
import { expect, test } from "vitest";

const root = path.join(__dirname, "..");

interface Loaded {
  files: string[];
  builtins: string[];
}

/** Modules of Node's: each takes longer than all of the library. */
const heavy = /crypto|fs\/promises|net$|http|worker|stream/;

/** The modules of this package, of others and of Node that a program loads. */
function loadedBy(program: string): Loaded {
  const script = `
    const before = new Set(process.moduleLoadList);
    ${program};
    console.log(JSON.stringify({
      files: Object.keys(require.cache),
      builtins: process.moduleLoadList.filter((name) => !before.has(name)),
    }));`;
  const { files, builtins } = JSON.parse(
    execFileSync(process.execPath, ["-e", script], { cwd: root, encoding: "utf8" }),
  ) as Loaded;
  return { files: files.map((file) => path.relative(root, file)), builtins };
}

test("the entry loads nothing until a name is asked for", () => {
  expect(loadedBy('require("./dist/lib/index.js")').files).toEqual(["dist/lib/index.js"]);
});

test("a worker that can attach has loaded little more than the addon", () => {
  const { files } = loadedBy('const { attach } = require("./dist/lib/index.js")');
  const library = files.filter((file) => !file.endsWith(".node")).sort();
  expect(library).toEqual([
    "dist/lib/errors.js",
    "dist/lib/formats/text.js",
    "dist/lib/index.js",
    "dist/lib/native.js",
    "dist/lib/packed.js",
    "dist/lib/sharing/attach-options.js",
    "dist/lib/sharing/attach.js",
    "dist/lib/sharing/bring-up.js",
    "dist/lib/sharing/ids.js",
    "dist/lib/sharing/set-name.js",
    "dist/lib/sharing/socket-path.js",
    "dist/lib/sharing/timeouts.js",
    "dist/lib/worker.pack.js",
  ]);
});

test("attaching loads neither other packages nor the owner's side", () => {
  const { files, builtins } = loadedBy(`
    const { attach } = require("./dist/lib/index.js");
    attach("set", { socket: "/nowhere" }).catch(() => {});`);
  expect(files).toContain("dist/lib/sharing/owner-client.js");
  expect(files.filter((file) => file.includes("node_modules"))).toEqual([]);
  const owners = /owner\.js|owner-server|ledger|catalog|safetensors|messages|values|checked|explain/;
  const laters = /lock|resume|identity|after|scratch|atomic-add|summary|rehearsal/;
  expect(files.filter((file) => owners.test(file) || laters.test(file))).toEqual([]);
  expect(builtins.filter((name) => heavy.test(name))).toEqual([]);
});

test("an import of every name loads nothing heavy either", () => {
  const { builtins } = loadedBy(`
    const api = require("./dist/lib/index.js");
    for (const name of Object.keys(api)) api[name];`);
  expect(builtins.filter((name) => heavy.test(name) || name.includes("child_process"))).toEqual([]);
});

test("an owner loads no other packages", () => {
  const { files } = loadedBy('const { Owner } = require("./dist/lib/index.js")');
  expect(files.filter((file) => file.includes("node_modules"))).toEqual([]);
});

test("both kinds of importer find the same names", () => {
  const script = `
    import * as names from "./dist/lib/index.mjs";
    import { createRequire } from "node:module";
    const required = createRequire(process.cwd() + "/")("./dist/lib/index.js");
    const same = Object.keys(names).every((name) => names[name] === required[name]);
    console.log(JSON.stringify([same, Object.keys(names).sort().join() === Object.keys(required).sort().join()]));`;
  const output = execFileSync(process.execPath, ["--input-type=module", "-e", script], {
    cwd: root,
    encoding: "utf8",
  });
  expect(JSON.parse(output)).toEqual([true, true]);
});

test("behind a first attach nothing is left to be loaded from files that may be replaced by then", () => {
  const script = `
    const { attach } = require("./dist/lib/index.js");
    const loaded = () => Object.keys(require.cache);
    (async () => {
      await attach("set", { socket: "/nowhere" }).catch(() => {});
      while (!loaded().some((file) => file.endsWith("/after.js"))) await new Promise(setImmediate);
      const before = loaded();
      for (const load of Object.values(require("./dist/lib/sharing/later.js").later)) load();
      console.log(JSON.stringify(loaded().filter((file) => !before.includes(file))));
    })();`;
  const output = execFileSync(process.execPath, ["-e", script], {
    cwd: root,
    encoding: "utf8",
    timeout: 10_000,
  });
  expect(JSON.parse(output)).toEqual([]);
});
