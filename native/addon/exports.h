// One function per binding file, called once per environment.
#pragma once

#include <napi.h>

namespace cuda_ipc {

void export_fd(Napi::Env env, Napi::Object exports);         // fd.cc: owned file descriptors, files in memory
void export_channel(Napi::Env env, Napi::Object exports);    // channel.cc: Listener, Channel
void export_process(Napi::Env env, Napi::Object exports);    // process.cc: pidfd watches
void export_file_lock(Napi::Env env, Napi::Object exports);  // file_lock.cc: flock
void export_device(Napi::Env env, Napi::Object exports);     // device.cc: providers, devices
void export_memory(Napi::Env env, Napi::Object exports);     // memory.cc: alloc, free, copy, set
void export_ipc(Napi::Env env, Napi::Object exports);        // ipc.cc: the raw IPC calls
void export_vmm(Napi::Env env, Napi::Object exports);        // vmm.cc: VmmAllocation
void export_stream(Napi::Env env, Napi::Object exports);     // stream.cc
void export_event(Napi::Env env, Napi::Object exports);      // event.cc
void export_module(Napi::Env env, Napi::Object exports);     // module.cc: modules and launches
void export_slab(Napi::Env env, Napi::Object exports);       // slab.cc: slabs and mappings
void export_grants(Napi::Env env, Napi::Object exports);     // grants.cc: slabs opened as they are granted
void export_load(Napi::Env env, Napi::Object exports);       // load.cc: file and memory to device
void export_checksum(Napi::Env env, Napi::Object exports);   // checksum.cc
void export_manifest(Napi::Env env, Napi::Object exports);   // manifest.cc: lists of tensors
void export_notify(Napi::Env env, Napi::Object exports);     // notify.cc: service managers
void export_random(Napi::Env env, Napi::Object exports);     // random.cc: names

}  // namespace cuda_ipc
