import { randomBytes } from "node:crypto";
import { mkdirSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, beforeAll } from "vitest";

/** A folder of the test file's own: there from its first hook on, where any of its tests runs, until it is done. */
export function temporaryFolder(): string {
  const folder = path.join(os.tmpdir(), `cit-${randomBytes(4).toString("hex")}`);
  beforeAll(() => mkdirSync(folder, { mode: 0o700 }));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

let sockets = 0;

/** A socket path that nobody has used yet. */
export function newSocket(folder: string): string {
  return path.join(folder, `s${sockets++}`, "owner.sock");
}
