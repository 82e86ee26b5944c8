/**
 * What an attach has done, in this order; but where the memory came ahead, "answered" comes anywhere behind "asked". Who
 * connects asks in the same call: then the first two are told together.
 */
export type AttachStep = "connected" | "asked" | "answered" | "mapping" | "checked" | "mapped";

/** For measurements: `tell` hears of each step as it is done, of one attach at a time. Without it that costs nothing. */
export const attachSteps: { tell?: (step: AttachStep) => void } = {};
