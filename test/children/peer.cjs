// A peer that speaks the protocol by hand, in a process of its own: sends what the test says, well-formed or not.
const { connect } = require("node:net");
const { randomBytes } = require("node:crypto");
const serve = require("./commands.cjs");

let socket;
let received = Buffer.alloc(0);
let ended = false;
let wake = () => {};
let nextRequest = 1;

const hello = {
  type: "hello",
  fds: 0,
  protocol: [1],
  client: { name: "peer", version: "0" },
  driver: { provider: process.env.CUDA_IPC_DRIVER, version: null },
  devices: null,
};

function frame(message) {
  const json = Buffer.from(JSON.stringify(message));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(json.length);
  return Buffer.concat([length, json]);
}

/** The next message of the owner; undefined when it has closed the connection. */
async function nextMessage() {
  for (;;) {
    if (received.length >= 4 && received.length >= 4 + received.readUInt32LE(0)) {
      const end = 4 + received.readUInt32LE(0);
      const message = JSON.parse(received.subarray(4, end).toString());
      received = received.subarray(end);
      return message;
    }
    if (ended) return undefined;
    await new Promise((resolve) => {
      wake = resolve;
    });
  }
}

serve({
  /** With `deaf`, nothing that comes is ever read. */
  async connect(path, { deaf = false } = {}) {
    received = Buffer.alloc(0);
    ended = false;
    socket = connect({ path, allowHalfOpen: true });
    await new Promise((resolve, reject) => socket.once("connect", resolve).once("error", reject));
    socket.on("error", () => {});
    socket.on("close", () => {
      ended = true;
      wake();
    });
    socket.on("end", () => {
      ended = true;
      wake();
    });
    if (deaf) return;
    socket.on("data", (data) => {
      received = Buffer.concat([received, data]);
      wake();
    });
  },
  send: (bytes) => void socket.write(bytes),
  sendMessage: (message) => void socket.write(frame({ fds: 0, ...message })),
  hello: (changes) => void socket.write(frame({ ...hello, ...changes })),
  next: nextMessage,
  /** Asks for a lease; whose reply is read only when the test asks for the next message. */
  requestAttach(set, lease = randomBytes(16).toString("hex"), changes = {}) {
    const id = nextRequest++;
    const request = { type: "attach", id, set, version: null, checksum: null, access: "read", lease };
    socket.write(frame({ fds: 0, ...request, ...changes }));
    return lease;
  },
  release(leases) {
    socket.write(frame({ type: "release", fds: 0, id: nextRequest++, leases }));
  },
  reclaim(leases) {
    socket.write(frame({ type: "reclaim", fds: 0, id: nextRequest++, leases }));
  },
  /** Everything until the owner closes the connection. */
  async rest() {
    const messages = [];
    for (let message = await nextMessage(); message !== undefined; message = await nextMessage()) {
      messages.push(message);
    }
    return messages;
  },
  disconnect: () => void socket.destroy(),
  settle() {
    socket?.destroy();
    return { mappings: 0, references: 0, fds: {} };
  },
});
