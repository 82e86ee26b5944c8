import { closeSync, constants, openSync, renameSync, rmSync, writeSync } from "node:fs";
import { CudaIpcError } from "../errors.js";
import type { StateChange } from "../wire/changes.js";
import { bootId } from "./process-key.js";
import type { StoredState } from "./stored-state.js";

export const journalFormat = 3;

/** So long a journal is not worth writing anew, however little of it is still true. */
const smallBytes = 1024 * 1024;
const retryMs = 1000;

export interface JournalOptions {
  owner: { id: string; pid: number; startTime: string };
  /** The whole state as it is now. */
  state: () => StoredState;
  /** The journal cannot be written. The owner serves on; what it grants meanwhile no successor would know. */
  onError: (error: CudaIpcError) => void;
  /** Written beside the file, which is another owner's until `install()`. */
  staged?: boolean;
}

/**
 * What a successor must know, on paper: a header, then what one operation changed to a line. That is written before
 * anybody is told of it. Whoever dies while he writes leaves a part of a line, which is skipped, and never a part of an
 * operation, such as a version superseded by none. The file outlives its writer and not the machine, as the memory it
 * speaks of, so nothing is synced.
 */
export class Journal {
  private fd: number | undefined;
  private bytes = 0;
  private compactedBytes = 0;
  private retry: NodeJS.Timeout | undefined;
  private staged: boolean;

  /** Replaces what is there by the present state, unless it is `staged`. Throws when it cannot be written. */
  constructor(
    private readonly file: string,
    private readonly options: JournalOptions,
  ) {
    this.staged = options.staged ?? false;
    try {
      this.rewrite();
    } catch (error) {
      throw this.unwritable(error);
    }
  }

  readonly write = (changes: readonly StateChange[]): void => {
    if (this.fd === undefined) return;
    const line = Buffer.from(toLine(changes));
    try {
      // Half a line must never be followed by another: then the whole file is written anew.
      if (writeSync(this.fd, line) !== line.length) throw new Error("no space left");
      this.bytes += line.length;
    } catch (error) {
      this.failed(error);
      return;
    }
    if (this.bytes > Math.max(smallBytes, 4 * this.compactedBytes)) this.compact();
  };

  /** From here on the file is this journal's, now or when that is possible. */
  install(): void {
    this.staged = false;
    // Anew: what lies beside it may be the work of a successor before this one, which was stopped meanwhile.
    this.renew();
  }

  /** Whoever was to have the file after this one does not get it: writes it anew, now or when that is possible. */
  renew(): void {
    clearTimeout(this.retry);
    try {
      rmSync(this.beside, { force: true });
      this.rewrite();
    } catch (error) {
      this.failed(error);
    }
  }

  /** What was staged comes to nothing. */
  discard(): void {
    this.close();
    rmSync(this.beside, { force: true });
  }

  /** Nothing is left to recover. */
  remove(): void {
    this.close();
    rmSync(this.file, { force: true });
  }

  /** Lets go of the file and leaves it to a successor. */
  close(): void {
    clearTimeout(this.retry);
    if (this.fd !== undefined) closeSync(this.fd);
    this.fd = undefined;
  }

  private compact(): void {
    try {
      this.rewrite();
    } catch {
      // What is written is as good as it was, only longer. Later, then.
      this.compactedBytes = this.bytes;
    }
  }

  /** Where a successor has its journal ready: another name than the owner's own, which may be writing just then. */
  private get beside(): string {
    return `${this.file}.next`;
  }

  private rewrite(): void {
    const { owner, state } = this.options;
    const temporary = this.staged ? this.beside : `${this.file}.new`;
    rmSync(temporary, { force: true });
    const { O_WRONLY, O_CREAT, O_EXCL, O_APPEND, O_NOFOLLOW } = constants;
    const fd = openSync(temporary, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_NOFOLLOW, 0o600);
    try {
      const header = JSON.stringify({ journal: journalFormat, boot: bootId(), owner });
      const content = Buffer.from(`${header}\n${toLines(state().changes())}`);
      if (writeSync(fd, content) !== content.length) throw new Error("no space left");
      if (!this.staged) renameSync(temporary, this.file);
      this.bytes = content.length;
      this.compactedBytes = content.length;
    } catch (error) {
      closeSync(fd);
      rmSync(temporary, { force: true });
      throw error;
    }
    if (this.fd !== undefined) closeSync(this.fd);
    this.fd = fd;
  }

  private failed(cause: unknown): void {
    if (this.fd !== undefined) closeSync(this.fd);
    this.fd = undefined;
    this.options.onError(this.unwritable(cause));
    this.tryLater();
  }

  private unwritable(cause: unknown): CudaIpcError {
    return new CudaIpcError(
      "ERR_CUDA_IPC_JOURNAL",
      `The recovery journal ${this.file} cannot be written: ${(cause as Error).message}. Until it can, an owner that takes over would not know of what changes.`,
      { cause, details: { file: this.file } },
    );
  }

  private tryLater(): void {
    this.retry = setTimeout(() => {
      try {
        this.rewrite();
      } catch {
        this.tryLater();
      }
    }, retryMs);
    this.retry.unref();
  }
}

/** Of a file that is in its place when it is whole. */
function toLines(changes: Iterable<StateChange>): string {
  let text = "";
  for (const change of changes) text += toLine([change]);
  return text;
}

function toLine(changes: readonly StateChange[]): string {
  return `${JSON.stringify(changes)}\n`;
}
