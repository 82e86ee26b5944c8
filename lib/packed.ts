/**
 * Modules of this library out of one file each for many, which scripts/write-packs.js writes: to find, read and compile
 * them one by one takes several times as long as all that they do in a first attach. Each is still one module, known to
 * Node by its own file: whoever requires that gets the same one.
 */
import Module from "node:module";
import path from "node:path";

type Body = (
  this: unknown,
  exports: unknown,
  require: NodeJS.Require | ((id: string) => unknown),
  module: NodeJS.Module,
  filename: string,
  dirname: string,
) => void;

const bodies = new Map<string, Body>();

/**
 * Where modules are somebody else's (a test runner's, a bundler's) there is no telling what its cache does. Jest's has
 * this module in it as Node's would, but a plain object.
 */
export const isNodes = require.cache?.[__filename] === module && module instanceof Module;

/** Adds modules by their files' paths under this folder. */
export function addBodies(of: Record<string, Body>): void {
  for (const [name, body] of Object.entries(of)) bodies.set(name, body);
}

/** The module of that path, as `require` gives it. */
export function load(name: string): unknown {
  const body = bodies.get(name);
  const filename = path.join(__dirname, name);
  if (!isNodes || body === undefined) return require(filename);
  const known = require.cache[filename];
  if (known !== undefined) return known.exports;
  const made = new Module(filename, module);
  made.filename = filename;
  made.paths = module.paths;
  require.cache[filename] = made;
  const folder = path.dirname(name);
  const requireFrom = (id: string) => {
    const other = id.startsWith(".") ? path.join(folder, id) : id;
    return bodies.has(other) ? load(other) : made.require(id);
  };
  try {
    body.call(made.exports, made.exports, requireFrom, made, filename, path.dirname(filename));
  } catch (error) {
    delete require.cache[filename];
    throw error;
  }
  made.loaded = true;
  return made.exports;
}
