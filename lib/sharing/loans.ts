import type { NativeChannel } from "../native.js";

/** A loan: what was sent ahead, on this channel, to a request for the lease. */
interface Loan {
  readonly lease: string;
  readonly version: string;
  /** None where the channel was closed at once. */
  readonly session?: number;
  readonly channel: Pick<NativeChannel, "giveBack">;
}

/** How many loans of one process are told apart: an attach that is refused gives its own back at once. */
const mostOfProcess = 64;

/**
 * The name of a process that has something on loan and could not be looked at. No other process has its pid meanwhile:
 * the loan ends with its death.
 */
export function unseen(pid: number): string {
  return `pid ${pid}`;
}

class Borrower {
  readonly loans = new Set<Loan>();
  /** One loan for each version, until the process is dead: it has had too many. */
  readonly kept = new Map<string, Loan>();
}

/**
 * `ipc` memory that has gone ahead to requests which were not granted that very version: the process may have it open,
 * and no lease says so. It is on loan until the process releases the lease that it asked for, or is dead: end-of-file
 * alone says nothing, as with leases. What is on loan is not freed: see `Shelf.whenReturned`.
 */
export class Loans {
  private readonly borrowers = new Map<string, Borrower>();

  /** Whether the process has anything on loan: its death, or its word, is waited for. */
  knows(process: string): boolean {
    return this.borrowers.has(process);
  }

  /** Returns how it ends where a lease keeps the memory from now on. */
  add(process: string, loan: Loan): () => void {
    let borrower = this.borrowers.get(process);
    if (borrower === undefined) {
      borrower = new Borrower();
      this.borrowers.set(process, borrower);
    }
    const { loans, kept } = borrower;
    if (loans.size < mostOfProcess) loans.add(loan);
    else if (!kept.has(loan.version)) kept.set(loan.version, loan);
    // The one that is kept outlasts it.
    else giveBack(loan);
    return () => this.end(process, (other) => other === loan);
  }

  /** The process has closed what came ahead under these leases. */
  released(process: string, leases: readonly string[]): void {
    if (!this.borrowers.has(process)) return;
    const named = new Set(leases);
    this.end(process, ({ lease }) => named.has(lease));
  }

  /** Whoever asked on this connection has closed all of it. */
  farewell(process: string, session: number): void {
    this.end(process, (loan) => loan.session === session);
  }

  processExited(process: string): void {
    const borrower = this.borrowers.get(process);
    if (borrower === undefined) return;
    this.borrowers.delete(process);
    for (const loan of [...borrower.loans, ...borrower.kept.values()]) giveBack(loan);
  }

  /** It could not be while any of it was on loan: what is known of such loans is out of date. */
  freed(version: string): void {
    for (const [process, { kept }] of this.borrowers) {
      kept.delete(version);
      this.end(process, (loan) => loan.version === version);
    }
  }

  private end(process: string, ends: (loan: Loan) => boolean): void {
    const borrower = this.borrowers.get(process);
    if (borrower === undefined) return;
    for (const loan of [...borrower.loans]) {
      if (!ends(loan)) continue;
      borrower.loans.delete(loan);
      giveBack(loan);
    }
    if (borrower.loans.size + borrower.kept.size === 0) this.borrowers.delete(process);
  }
}

function giveBack({ channel, lease }: Loan): void {
  channel.giveBack(lease);
}
