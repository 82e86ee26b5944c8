import cluster from "node:cluster";
import { createServer } from "node:http";
import querystring from "node:querystring";
import { attach, earlyStart, Owner } from "cuda-ipc";

if (cluster.isPrimary) {
  const owner = await Owner.listen();
  await owner.load("llm", process.argv[2]);
  const fork = () => cluster.fork(earlyStart()); // CUDA comes up while Node starts
  for (let i = 0; i < 3; i++) fork();
  cluster.on("exit", (worker) => worker.exitedAfterDisconnect || fork());
  for (const signal of ["SIGINT", "SIGTERM"]) {
    process.once(signal, () => cluster.disconnect(() => owner.close()));
  }
} else {
  process.on("SIGINT", () => {}); // Ctrl-C reaches every process; the primary one decides
  const weights = await attach("llm");
  process.once("disconnect", () => weights.release());
  createServer(async (request, response) => {
    const name = querystring.unescape(request.url.slice(1));
    if (!weights.has(name)) return response.writeHead(404).end();
    response.end(`${process.pid} has ${name}, checksum ${await weights.tensor(name).checksum()}\n`);
  }).listen(Number(process.env.PORT ?? 8080));
}
