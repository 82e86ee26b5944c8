// What an owner in this process does with the next request for a lease.
import { onTestFinished, vi } from "vitest";
import { Granting } from "../../dist/lib/sharing/granting.js";

/** Looks at it as if it came when `work` is done, which sees it first. */
export function beforeGrant(work: () => void): void {
  const { attach: grant } = Granting.prototype;
  const spy = vi.spyOn(Granting.prototype, "attach").mockImplementation(function (this: Granting, ...args) {
    spy.mockRestore();
    work();
    return grant.apply(this, args);
  });
  onTestFinished(() => spy.mockRestore());
}

/** Never answers it; resolves when it has come. */
export function leaveUnanswered(): Promise<void> {
  return new Promise((resolve) => {
    const spy = vi.spyOn(Granting.prototype, "attach").mockImplementation(() => {
      spy.mockRestore();
      resolve();
      return new Promise(() => {});
    });
    onTestFinished(() => spy.mockRestore());
  });
}
