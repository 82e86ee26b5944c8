/**
 * To be imported before anything else by files whose tests need what no GPU gives: injected faults in this process's
 * own loaders, or a second device. They run on the host driver whatever the others run on.
 */
process.env.CUDA_IPC_DRIVER = "host";
delete process.env.CUDA_VISIBLE_DEVICES;
