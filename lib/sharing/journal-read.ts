import { constants, promises as fs } from "node:fs";
import { CudaIpcError } from "../errors.js";
import { checkedChange } from "../wire/check.js";
import { journalFormat } from "./journal.js";
import { bootId } from "./process-key.js";
import { StoredState } from "./stored-state.js";

/**
 * Reads a recovery journal; undefined when there is none, or none of this start of the machine. One that somebody
 * else could have written is refused (ERR_CUDA_IPC_JOURNAL): it says what memory is trusted. The last line may be
 * torn: nobody was told of it. Any other makes it ERR_CUDA_IPC_JOURNAL_DAMAGED.
 */
export async function readJournal(file: string): Promise<StoredState | undefined> {
  const text = await readOwn(file);
  if (text === undefined) return undefined;
  const lines = text.split("\n");
  lines.pop();
  const header = parsed(lines, 0) as { journal?: unknown; boot?: unknown };
  if (typeof header.boot !== "string") throw damaged(0, "it is no journal's header");
  if (header.boot !== bootId()) return undefined;
  if (header.journal !== journalFormat) {
    throw damaged(0, `this version of cuda-ipc reads format ${journalFormat}, not ${String(header.journal)}`);
  }
  return StoredState.of(changes(lines));
}

function* changes(lines: readonly string[]) {
  for (let index = 1; index < lines.length; index++) {
    const group = parsed(lines, index);
    if (!Array.isArray(group)) throw damaged(index, "it is no list of changes");
    try {
      for (const change of group) yield checkedChange(change);
    } catch (error) {
      throw damaged(index, (error as Error).message, error);
    }
  }
}

function parsed(lines: readonly string[], index: number): object {
  try {
    const value = JSON.parse(lines[index] ?? "") as unknown;
    if (typeof value === "object" && value !== null) return value;
  } catch (error) {
    throw damaged(index, (error as Error).message, error);
  }
  throw damaged(index, "it is no object");
}

async function readOwn(file: string): Promise<string | undefined> {
  let handle: fs.FileHandle;
  try {
    // Not waiting: it may be anything, such as a pipe without a writer.
    handle = await fs.open(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") return undefined;
    throw refused(file, code === "ELOOP" ? "it is a link" : message);
  }
  try {
    const facts = await handle.stat();
    if (!facts.isFile() || facts.uid !== process.geteuid?.() || (facts.mode & 0o077) !== 0) {
      const mode = (facts.mode & 0o7777).toString(8);
      throw refused(file, `it is not a file of this user's alone (uid ${facts.uid}, mode ${mode})`);
    }
    return await handle.readFile("utf8");
  } finally {
    await handle.close();
  }
}

function refused(file: string, why: string): CudaIpcError {
  return new CudaIpcError(
    "ERR_CUDA_IPC_JOURNAL",
    `The recovery journal ${file} cannot be trusted: ${why}. Remove it to start without what it speaks of.`,
    { details: { file } },
  );
}

function damaged(index: number, why: string, cause?: unknown): CudaIpcError {
  return new CudaIpcError("ERR_CUDA_IPC_JOURNAL_DAMAGED", `Its line ${index + 1} is damaged: ${why}.`, {
    cause,
  });
}
