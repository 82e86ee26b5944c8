import { onTestFinished, vi } from "vitest";
import { disconnect } from "../../dist/lib/index.js";
import { native } from "../../dist/lib/native.js";
import { askByParts } from "./asking.js";

/**
 * From here on, until the test has ended, what this process is granted on a new connection is opened by
 * `native.openSlab` alone, for tests that replace that. Connections that nobody needs are closed.
 */
export function openLate(): void {
  disconnect();
  const watching = vi.spyOn(native, "watchGrants").mockReturnValue({
    expect() {},
    open: () => undefined,
    end: () => undefined,
  });
  const asking = vi.spyOn(native, "ask").mockImplementation(askByParts());
  onTestFinished(() => {
    watching.mockRestore();
    asking.mockRestore();
  });
}
