// The program of a LoaderProcess. It imports little, because a load waits for it to start.
import "./warm-up.js";
import { type NativeFd, native } from "../native.js";
import { jobChecks, loaderChecks } from "../wire/check.js";
import { Connection } from "../wire/connection.js";
import type { JobMessage, LoaderMessage } from "../wire/loader-messages.js";
import { failureMessage } from "./failure.js";
import { load, verify } from "./jobs.js";

/** The end of the socket pair, where LoaderProcess puts it. */
const inheritedFd = 3;

// An interrupt from the terminal is for the owner, who decides what becomes of the load.
for (const signal of ["SIGINT", "SIGHUP"]) process.on(signal, () => {});

let answered = false;
const channel = native.adoptChannel(native.adoptFd(inheritedFd));
const connection = new Connection({
  channel,
  start: native.startChannel,
  incoming: jobChecks,
  outgoing: loaderChecks,
  onMessage: (message, fds) => void work(message as JobMessage, fds),
  onClose: () => {
    if (answered) process.exit();
    // Nobody waits for this any more. At once, whatever the driver is doing: the kernel frees the memory.
    process.kill(process.pid, "SIGKILL");
  },
});
channel.ref();

async function work(job: JobMessage, fds: NativeFd[]): Promise<void> {
  try {
    if (job.type === "verify") answer(await verify(job, fds));
    else {
      const { message, fds: slabs } = await load(job, fds, (progress) => connection.send(progress));
      answer(message, slabs);
    }
  } catch (error) {
    answer(failureMessage(error));
  }
}

/** The last message. The owner closes the connection when it has it, and everything that came with it. */
function answer(message: Omit<LoaderMessage, "fds">, fds: NativeFd[] = []): void {
  connection.send(message, fds);
  answered = true;
}
