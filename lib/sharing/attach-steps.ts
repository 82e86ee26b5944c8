/** What an attach has done, in this order; but where the memory came ahead, "answered" comes anywhere behind "asked". */
export type AttachStep = "connected" | "asked" | "answered" | "mapping" | "checked" | "mapped";

/** For measurements: `tell` hears of each step as it is done, of one attach at a time. Without it that costs nothing. */
export const attachSteps: { tell?: (step: AttachStep) => void } = {};
