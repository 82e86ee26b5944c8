import { CudaIpcError } from "../../errors.js";
import { type NativeFd, native } from "../../native.js";
import { SerialQueue } from "../serial-queue.js";

/** How long the manager may leave a message unread; it does nothing else but read them. */
const patienceMs = 5000;
const longestWaitMs = 20;

/** What is said to a service manager, as sd_notify(3) has it: one message after the other, each in a datagram. */
export class NotifyLine {
  private readonly queue = new SerialQueue();

  constructor(private readonly address: string) {}

  /** Resolves when the kernel has the message. Takes the descriptors over. */
  send(fields: Record<string, string>, fds: NativeFd[] = []): Promise<void> {
    const lines = Object.entries(fields).map(([name, value]) => `${name}=${value.replaceAll("\n", " ")}`);
    const message = Buffer.from(lines.join("\n"));
    return this.queue
      .run(() => this.deliver(message, fds))
      .finally(() => {
        for (const fd of fds) fd.close();
      });
  }

  /** FDPOLL=0: device memory is no file to be polled, and a hang-up must not drop it. */
  store(name: string, fd: NativeFd): Promise<void> {
    return this.send({ FDSTORE: "1", FDNAME: name, FDPOLL: "0" }, [fd]);
  }

  /** Removes all that is stored under the name, and nothing when there is nothing. */
  remove(name: string): Promise<void> {
    return this.send({ FDSTOREREMOVE: "1", FDNAME: name });
  }

  /**
   * Resolves when the manager has acted on all that was sent before, or is gone: it closes what it is sent. `onLate`
   * is called when that takes long.
   */
  async barrier(onLate: (error: CudaIpcError) => void): Promise<void> {
    const [channel, end] = native.socketPair();
    const closed = new Promise<void>((resolve) => {
      native.startChannel(channel, {
        onData: (_, fds) => fds.map((fd) => fd.close()),
        onDrain: () => {},
        onClose: () => resolve(),
      });
    });
    try {
      await this.send({ BARRIER: "1" }, [end]);
    } catch (error) {
      channel.close();
      throw error;
    }
    const timer = setTimeout(() => onLate(this.silent()), patienceMs);
    await closed;
    clearTimeout(timer);
  }

  private async deliver(message: Buffer, fds: NativeFd[]): Promise<void> {
    const until = performance.now() + patienceMs;
    for (let wait = 1; !native.notify(this.address, message, fds); wait = Math.min(2 * wait, longestWaitMs)) {
      if (performance.now() > until) throw this.silent();
      await new Promise((resolve) => setTimeout(resolve, wait));
    }
  }

  private silent(): CudaIpcError {
    return new CudaIpcError(
      "ERR_CUDA_IPC_SERVICE_MANAGER",
      `The service manager at ${this.address} has not acted on what it was sent for ${patienceMs / 1000} s: it is stopped or overloaded. What is stored with it stays there meanwhile.`,
      { details: { address: this.address } },
    );
  }
}
