/** Who follows a signal. It has one listener for all of them: of more than ten Node warns, and they may be many. */
const followers = new WeakMap<AbortSignal, Set<AbortController>>();

/**
 * A controller whose signal is aborted with any of others, too, for the same reason. In the stead of AbortSignal.any,
 * which Node has from 20.3 on.
 */
export class JointAbort extends AbortController {
  private readonly followed: AbortSignal[] = [];

  constructor(others: readonly (AbortSignal | undefined)[]) {
    super();
    for (const other of others) {
      if (other?.aborted) this.abort(other.reason);
      else if (other !== undefined) this.follow(other);
    }
  }

  /** For when the operation is over: the others may live longer, and nothing of it stays with them. */
  leave(): void {
    for (const other of this.followed.splice(0)) {
      const all = followers.get(other);
      all?.delete(this);
      if (all?.size !== 0) continue;
      other.removeEventListener("abort", abortFollowers);
      followers.delete(other);
    }
  }

  private follow(other: AbortSignal): void {
    let all = followers.get(other);
    if (all === undefined) {
      all = new Set();
      followers.set(other, all);
      other.addEventListener("abort", abortFollowers);
    }
    all.add(this);
    this.followed.push(other);
  }
}

function abortFollowers({ target }: Event): void {
  const signal = target as AbortSignal;
  for (const follower of followers.get(signal) ?? []) follower.abort(signal.reason);
}
