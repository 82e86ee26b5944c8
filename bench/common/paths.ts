import path from "node:path";

/** The package's folder; compiled, this file lies in dist/bench/common. */
export const packageRoot = path.join(__dirname, "..", "..", "..");
export const peersFolder = path.join(packageRoot, "bench", "peers");
export const buildFolder = path.join(packageRoot, "build", "bench");
