// Owners that break the protocol, over a real socket: a worker says so, and asks no more.
import { once } from "node:events";
import { mkdirSync } from "node:fs";
import { createServer } from "node:net";
import path from "node:path";
import { expect, test } from "vitest";
import { folder, startWorker } from "../helpers/sharing.js";
import { newSocket } from "../helpers/temporary.js";

test("who attaches where no owner but somebody else listens is told so, after one connection", async () => {
  const socket = newSocket(folder);
  mkdirSync(path.dirname(socket), { mode: 0o700 });
  let connections = 0;
  const server = createServer((connection) => {
    connections++;
    connection
      .on("error", () => {})
      .resume()
      .end("HTTP/1.1 400 Bad Request\r\n\r\n");
  }).listen(socket);
  await once(server, "listening");
  const worker = await startWorker();
  await expect(worker.call("attach", "llm", { socket, timeout: 10_000 })).rejects.toMatchObject({
    code: "ERR_CUDA_IPC_PROTOCOL",
  });
  expect(connections).toBe(1);
  server.close();
  await once(server, "close");
});
