import { once } from "node:events";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import net, { type Socket } from "node:net";
import path from "node:path";
import { expect, test } from "vitest";
import { runMeasure } from "../../dist/bench/suite/runner.js";
import { temporaryFolder } from "../helpers/temporary.js";

const folder = temporaryFolder();

/** A "python3" that tells the socket of its parent, prints nothing, and stays. */
const python = (socket: string): string => `#!${process.execPath}
require("node:net").connect(${JSON.stringify(socket)}).write(process.ppid + "\\n");
`;

test.each([
  ["crashes", 60, /^its process ended with SIGKILL/],
  ["takes too long", 3, /^not done after 3 s$/],
])("a peer ends with its measure when that %s", async (how, limitSeconds, reason) => {
  const bin = path.join(folder, how);
  mkdirSync(bin);
  const socket = path.join(bin, "s");
  writeFileSync(path.join(bin, "python3"), python(socket));
  chmodSync(path.join(bin, "python3"), 0o755);
  const server = net.createServer().listen(socket);
  await once(server, "listening");
  const { PATH } = process.env;
  process.env.PATH = `${bin}:${PATH}`;
  const context = { measure: "death-peers", driver: "libcuda", device: 0, quick: true } as const;
  const running = runMeasure({ ...context, shared: folder, unbuilt: [] }, limitSeconds, () => {});
  process.env.PATH = PATH;

  const [peer] = (await once(server, "connection")) as [Socket];
  const closed = once(peer, "close");
  const [measure] = await once(peer, "data");
  if (how === "crashes") process.kill(Number(measure), "SIGKILL");
  expect(await running).toMatchObject({ status: "failed", reason: expect.stringMatching(reason) });
  await closed;
  server.close();
});
