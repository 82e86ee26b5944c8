// Writes dist/lib/wire/validators.js: a function for each schema of lib/wire/checked.ts.
const { copyFileSync, writeFileSync } = require("node:fs");
const path = require("node:path");
const { TypeCompiler } = require("@sinclair/typebox/compiler");

const source = path.join(__dirname, "../lib/wire");
const folder = path.join(__dirname, "../dist/lib/wire");
const { checked } = require(path.join(folder, "checked.js"));

/** The compiler's code declares its regular expressions and then returns the function. */
function validator(name, schema) {
  const code = TypeCompiler.Code(schema, { language: "javascript" });
  // Formats and kinds of one's own live in registries of the compiler, which no process loads.
  if (/\b(?:format|kind|hash)\(/.test(code)) throw new Error(`The schema ${name} cannot be compiled ahead.`);
  return `${JSON.stringify(name)}: lazy(() => {\n${code}\n}),`;
}

/** A process checks few of them: each is made when it is first called. */
const lazy = `function lazy(make) {
  let validator;
  return (value) => (validator ??= make())(value);
}`;

const kinds = Object.entries(checked).map(([kind, schemas]) => {
  const functions = Object.entries(schemas).map(([name, schema]) => validator(name, schema));
  return `${JSON.stringify(kind)}: {\n${functions.join("\n")}\n},`;
});
writeFileSync(
  path.join(folder, "validators.js"),
  `"use strict";\n// Generated: see scripts/generate-validators.js.\n${lazy}\nexports.validators = {\n${kinds.join("\n")}\n};\n`,
);
copyFileSync(path.join(source, "validators.d.ts"), path.join(folder, "validators.d.ts"));
