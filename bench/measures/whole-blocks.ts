const block = 2 << 20;

/**
 * So many bytes in whole blocks of 2 MiB, as the library and the floor allocate them. CUDA puts what is not whole blocks
 * among other allocations, and to open that in another process takes more than a hundred times as long.
 */
export const wholeBlocks = (bytes: number): number => Math.ceil(bytes / block) * block;
