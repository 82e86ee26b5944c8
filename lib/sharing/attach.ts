import { setTimeout } from "node:timers";
import { native } from "../native.js";
import { isNodes } from "../packed.js";
import { type AttachOptions, attachRequest } from "./attach-options.js";
import { bringUpDriver } from "./bring-up.js";
import type { Weights } from "./weights.js";

export type { AttachOptions };

// What attaching takes is loaded by the first attach, which has started CUDA by then, or else in the first turn that
// the program leaves to others: as a rule CUDA is coming up then. It is rehearsed there, too.
let clients: typeof import("./clients.js") | undefined;
function loadClients(): typeof import("./clients.js") {
  clients ??= require("./clients.js") as typeof import("./clients.js");
  return clients;
}
const loadChoice = () => require("./driver-choice.js") as typeof import("./driver-choice.js");
const loadRehearsal = () => require("./rehearsal.js") as typeof import("./rehearsal.js");

/** How long a program that attaches in its first turn has for its own start. */
const startMs = 1000;

/** What a first attach can do without: by the time it is needed, a deployment may have replaced the files. */
function loadLaterSoon(): void {
  setTimeout(() => {
    try {
      const { loadLater } = require("./later.js") as typeof import("./later.js");
      loadLater();
    } catch {} // whoever needs it is told
  }, startMs).unref();
}

const nothing = () => {};

let attached = false;
/** Of an attach in the program's first turn: settles with it, without its weights. */
let firstAttach: Promise<void> | undefined;
/** Whether CUDA was down when that began: it takes longer than all that can be made ready meanwhile. */
let waitsForCuda = false;
let turnedOver = false;

function rehearseLaunch(): Promise<void> {
  const { rehearseLaunch } = require("../cuda/rehearsal.js") as typeof import("../cuda/rehearsal.js");
  return rehearseLaunch();
}

/** So many attaches have compiled what the rest of the one that waits, and the first look at its tensors, will call. */
const roundsBeside = 3;

/** Of a program whose first attach waits for CUDA: the end of that, and what is done first with what it maps. */
async function rehearseBeside(attaching: Promise<void>): Promise<void> {
  let over = false;
  attaching.then(() => {
    over = true;
  });
  await rehearseLaunch();
  await loadRehearsal().rehearse(() => over, roundsBeside);
}

async function rehearse(): Promise<void> {
  native.rehearseMappings();
  loadClients();
  // First, so that an attach finds in the caches what was rehearsed last.
  await rehearseLaunch();
  const rehearsing = loadRehearsal().rehearse(() => attached);
  // Refused, but compiled by that.
  attach("").catch(nothing);
  await rehearsing;
}

/** Settles when there is no rehearsal, or none any more: for whoever counts what this process has open. */
export const rehearsed = new Promise<void>((settle) => {
  // A test runner takes its modules away when a file's tests are over, and that is when the turn may come.
  if (!isNodes) return settle();
  // An immediate that is not to keep the process would wait for the first event, which may be that CUDA is up.
  setTimeout(() => {
    turnedOver = true;
    if (attached) {
      // A rehearsal would have loaded the rest. Not beside the attach, nor what the program does with it first.
      firstAttach?.then(loadLaterSoon);
      if (firstAttach === undefined || !waitsForCuda) return settle();
      rehearseBeside(firstAttach).catch(nothing).then(settle);
      return;
    }
    // What cannot be loaded is told to whoever attaches.
    rehearse().catch(nothing).then(settle);
  }, 0).unref();
});

/**
 * Maps a weight set of the owner that listens on the socket into this process: no copy, one lease. Brings CUDA up
 * in this process on first use.
 *
 * Errors: ERR_CUDA_IPC_NO_OWNER (nobody listens), ERR_CUDA_IPC_NO_SET, ERR_CUDA_IPC_NO_VERSION,
 * ERR_CUDA_IPC_DEVICE_NOT_VISIBLE (the weights are on a device that this process cannot see),
 * ERR_CUDA_IPC_TIMEOUT, ERR_CUDA_IPC_FORBIDDEN, and those of the driver. After any of them nothing is held.
 */
export async function attach(name: string, options: AttachOptions = {}): Promise<Weights> {
  const { socket, request, limits } = attachRequest(name, options);
  limits.signal?.throwIfAborted();
  const { driver, ...others } = options;
  if (driver !== undefined) return loadChoice().onDriver(driver, () => attach(name, others));
  attached = true;
  // Loading takes a while, and so does that.
  if (clients === undefined) waitsForCuda = bringUpDriver() !== undefined;
  const attaching = loadClients().attachThrough(socket, request, limits);
  if (!turnedOver) firstAttach ??= attaching.then(nothing, nothing);
  return attaching;
}
