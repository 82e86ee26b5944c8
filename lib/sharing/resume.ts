import type { NativeFd } from "../native.js";
import type { ClientConnection } from "../wire/client.js";
import { maxLeasesPerRequest } from "../wire/limits.js";
import { packTensors } from "../wire/manifest.js";
import type { Attachment } from "./attachment.js";
import { retryDelays } from "./patience.js";

const fdPatienceMs = 30_000;

/** What a process has to tell an owner to which its connection is new. */
export interface Unfinished {
  held(): Attachment[];
  /** Leases whose memory is being mapped: there is nothing to offer yet, and a successor can wait for them. */
  readonly granted: ReadonlySet<string>;
  /** Leases that nobody holds any more; the owner may still count them. */
  readonly debts: Set<string>;
  /** Whether the owner counts a lease. */
  onAnswer(lease: string, kept: boolean): void;
}

type Line = Pick<ClientConnection, "welcome" | "request">;

/**
 * Settles with an owner what the loss of the connection left open: gives back what is not held any more, gives memory
 * back that an owner after a dead one asks for, and takes its leases up again. All of it is sent at once, releases
 * first. No process stays alive for it. Rejects when the connection is lost again.
 */
export async function resumeLeases(line: Line, unfinished: Unfinished): Promise<void> {
  const { wanted, recovering } = await line.welcome;
  const { debts } = unfinished;
  const work = portions([...debts]).map((leases) => release(line, leases, debts));
  const rest = recovering ? [] : [...unfinished.granted];
  for (const attachments of byVersion(unfinished.held()).values()) {
    const leases = attachments.map(({ lease }) => lease);
    const portable = attachments.find((attachment) => attachment.portable);
    if (portable !== undefined && wanted.includes(portable.version.id)) {
      work.push(offer(line, portable, leases.splice(0, maxLeasesPerRequest), unfinished));
    }
    rest.push(...leases);
  }
  for (const leases of portions(rest)) work.push(reclaim(line, leases, unfinished));
  await Promise.all(work);
}

async function release(line: Line, leases: string[], debts: Set<string>): Promise<void> {
  await unlessRefused(line.request("release", { leases }, { background: true }));
  for (const lease of leases) debts.delete(lease);
}

async function offer(line: Line, attachment: Attachment, leases: string[], to: Unfinished): Promise<void> {
  const { version, slabs, tensors } = attachment;
  const { id, set, number, sharing, writable } = version;
  const checksum = version.checksum || null;
  const body = {
    version: {
      ...{ id, set, number, sharing, writable, checksum },
      tensors: packTensors(tensors.all()),
    },
    slabs: slabs.map((slab) => {
      return { id: slab.id, device: slab.uuid, bytes: slab.bytes, sharing, handle: null };
    }),
    leases,
  };
  const fds = slabs.map(({ fd }) => fd) as NativeFd[];
  const reply = await unlessRefused(
    whileShortOfFds(() => line.request("offer", body, { fds, background: true })),
  );
  const kept = new Set(reply?.message.kept);
  for (const lease of kept) to.onAnswer(lease, reply!.message.accepted);
  // Whatever becomes of the memory, the owner must hear which leases live on: it waits for each of them.
  const rest = leases.filter((lease) => !kept.has(lease));
  if (rest.length > 0) await reclaim(line, rest, to);
}

/**
 * Descriptors that the socket does not take at once are duplicated, and this process may be at its limit of them: then it
 * is tried again for some time. The owner waits meanwhile, for the leases that come with it.
 */
async function whileShortOfFds<T>(attempt: () => Promise<T>): Promise<T> {
  const until = performance.now() + fdPatienceMs;
  for (const delays = retryDelays(); ; ) {
    const wait = delays.next().value;
    try {
      return await attempt();
    } catch (error) {
      const short = (error as { code?: string }).code === "ERR_CUDA_IPC_FD_LIMIT";
      if (!short || performance.now() + wait > until) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, wait).unref());
  }
}

async function reclaim(line: Line, leases: string[], to: Unfinished): Promise<void> {
  const reply = await unlessRefused(line.request("reclaim", { leases }, { background: true }));
  const kept = new Set(reply?.message.kept);
  for (const lease of leases) to.onAnswer(lease, kept.has(lease));
}

/** Undefined for a refusal, which is final; rejects when nobody has answered. */
export async function unlessRefused<T>(reply: Promise<T>): Promise<T | undefined> {
  try {
    return await reply;
  } catch (error) {
    if ((error as { code?: string }).code === "ERR_CUDA_IPC_CONNECTION_LOST") throw error;
    return undefined;
  }
}

function portions(leases: readonly string[]): string[][] {
  const count = Math.ceil(leases.length / maxLeasesPerRequest);
  return Array.from({ length: count }, (_, n) =>
    leases.slice(n * maxLeasesPerRequest, (n + 1) * maxLeasesPerRequest),
  );
}

function byVersion(attachments: readonly Attachment[]): Map<string, Attachment[]> {
  const groups = new Map<string, Attachment[]>();
  for (const attachment of attachments) {
    const group = groups.get(attachment.version.id);
    if (group === undefined) groups.set(attachment.version.id, [attachment]);
    else group.push(attachment);
  }
  return groups;
}
