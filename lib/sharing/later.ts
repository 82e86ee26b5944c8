/**
 * What a first attach can do without. Each is loaded at its first use; in a process that leaves a turn to others before
 * it attaches, all of it in that turn, and in any other in the turn behind the first attach.
 */
export const later = {
  after: () => require("./after.js") as typeof import("./after.js"),
  atomicAdd: () => require("./atomic-add.js") as typeof import("./atomic-add.js"),
  check: () => require("../cuda/check.js") as typeof import("../cuda/check.js"),
  identity: () => require("../loading/identity.js") as typeof import("../loading/identity.js"),
  lock: () => require("./lock.js") as typeof import("./lock.js"),
  lockClient: () => require("./lock-client.js") as typeof import("./lock-client.js"),
  lockErrors: () => require("./lock-errors.js") as typeof import("./lock-errors.js"),
  resume: () => require("./resume.js") as typeof import("./resume.js"),
  scratch: () => require("./scratch.js") as typeof import("./scratch.js"),
  summary: () => require("./summary.js") as typeof import("./summary.js"),
};

export function loadLater(): void {
  for (const load of Object.values(later)) load();
}
