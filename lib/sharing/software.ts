import { readFileSync } from "node:fs";
import path from "node:path";

const { name, version } = JSON.parse(readFileSync(path.join(__dirname, "../../../package.json"), "utf8")) as {
  name: string;
  version: string;
};

/** Who speaks, for the handshake. */
export const software: { readonly name: string; readonly version: string } = { name, version };
