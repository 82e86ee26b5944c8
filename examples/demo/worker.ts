/** One HTTP worker of the cluster: attaches, and answers POST / with the layer's output for the body. */
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { attach, cudaMemGetInfo, type Weights } from "../../lib/index.js";
import { Layer } from "./layer.js";
import {
  type Answers,
  type Ask,
  counterTensor,
  type FromWorker,
  sets,
  workerEnvironment,
} from "./messages.js";

const slots = 2;

const socket = process.env[workerEnvironment.socket];
const tensor = process.env[workerEnvironment.tensor]!;

async function main(): Promise<void> {
  const started = performance.now();
  await cudaMemGetInfo(); // brings CUDA up, so that it is not in the time of attach()
  const cudaUp = performance.now();
  const weights = await attach(sets.weights, { socket });
  const attached = performance.now();
  const counter = await attach(sets.counter, { socket, access: "readwrite" });
  const layer = await Layer.create(weights.tensor(tensor), counter.tensor(counterTensor), slots);

  const server = createServer((request, response) => {
    answer(layer, weights, request, response).catch((error) =>
      response.writeHead(500).end(String(error?.stack)),
    );
  });
  // A port of its own, so that the primary knows which requests are in flight where.
  server.listen({ host: "127.0.0.1", port: 0, exclusive: true });
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;

  const answers: { [Command in keyof Answers]: () => Promise<Answers[Command]> } = {
    checksum: () => weights.computeChecksum(),
    counter: async () => (await counter.tensor(counterTensor).toBuffer()).readBigUInt64LE().toString(),
    close: async () => {
      server.close();
      server.closeIdleConnections();
      await layer.dispose();
      await weights.release();
      await counter.release();
      return null;
    },
  };
  process.on("message", async ({ id, command }: Ask) => {
    try {
      send({ id, value: await answers[command]() });
    } catch (error) {
      send({ id, error: String((error as Error).stack) });
    }
    if (command === "close") process.disconnect();
  });
  const times = { attachMs: attached - cudaUp, cudaMs: cudaUp - started };
  send({ ready: { port, version: weights.version.id, ...times } });
}

async function answer(layer: Layer, weights: Weights, request: IncomingMessage, response: ServerResponse) {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part);
  const input = Buffer.concat(parts);
  if (input.length !== layer.inputBytes) {
    response.writeHead(400).end(`Expected ${layer.inputBytes} bytes of f32, but received ${input.length}.\n`);
    return;
  }
  const { output, previous } = await layer.run(input);
  response.writeHead(200, {
    "content-type": "application/octet-stream",
    "content-length": output.length,
    "x-previous-count": String(previous),
    "x-weights-version": weights.version.id,
  });
  response.end(output);
}

function send(message: FromWorker): void {
  process.send!(message);
}

main().catch((error) => {
  send({ failed: String(error?.stack ?? error) });
  process.exitCode = 1;
  process.disconnect();
});
