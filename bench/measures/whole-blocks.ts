const block = 2 << 20;

/**
 * So many bytes in whole blocks of 2 MiB, as the library and the floor allocate them. To open what is not whole blocks in
 * another process took an H100 more than a hundred times as long.
 */
export const wholeBlocks = (bytes: number): number => Math.ceil(bytes / block) * block;
