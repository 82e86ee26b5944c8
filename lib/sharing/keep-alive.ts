/** As long as a timer can be. */
const foreverMs = 2 ** 31 - 1;

/** Keeps the event loop alive until clearInterval: for whoever waits for a connection that he asks nothing of. */
export const keepAlive = (): NodeJS.Timeout => setInterval(() => {}, foreverMs);
