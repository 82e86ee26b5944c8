// A process whose worker threads attach, each for itself.
const { once } = require("node:events");
const path = require("node:path");
const { Worker } = require("node:worker_threads");
const { native } = require("../../dist/lib/native.js");
const serve = require("./commands.cjs");
const inspect = require("./inspect.cjs");

const threads = [];
let fdsBefore;

async function ask(thread, message) {
  const answer = once(thread, "message");
  thread.postMessage(message);
  return (await answer)[0];
}

serve({
  async warmUp() {
    await inspect.warmUp();
    // The first thread brings descriptors of its own kind, which stay.
    const first = new Worker(path.join(__dirname, "thread.cjs"), { workerData: {} });
    await once(first, "online");
    await first.terminate();
    fdsBefore = inspect.openFds();
  },
  async attach(options) {
    const thread = new Worker(path.join(__dirname, "thread.cjs"), { workerData: options });
    threads.push(thread);
    return ask(thread, "attach");
  },
  /** A new thread's: launches that much on what it attaches, and begins to release it. */
  async work(options, launches) {
    const thread = new Worker(path.join(__dirname, "thread.cjs"), { workerData: options });
    threads.push(thread);
    return ask(thread, { launches });
  },
  /** Takes a lock through what the thread has attached, and keeps it. */
  lock: (index, name) => ask(threads[index], { lock: name }),
  /** Launches that much on what it has attached. */
  launch: (index, work) => ask(threads[index], { work }),
  /** Its connection ends, and the thread does nothing from then on. */
  breakConnection: (index) => ask(threads[index], "break"),
  again: (index) => ask(threads[index], "attach"),
  release: (index) => ask(threads[index], "release"),
  terminate: (index) => threads[index].terminate(),
  async exit(index) {
    const exited = once(threads[index], "exit");
    threads[index].postMessage("exit");
    await exited;
  },
  exitProcess: () => process.exit(0),
  mappings: () => native.mappingStatistics(),
  async settle() {
    for (const thread of threads.splice(0)) await thread.terminate();
    return inspect.leftovers(fdsBefore);
  },
});
