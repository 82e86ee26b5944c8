// Streams and events of the host driver: order, the legacy default stream, kernels, failed contexts, and
// events between processes.
#include <sys/resource.h>

#include <future>

#include "driver/host/ipc_handle.h"
#include "driver/host/system.h"
#include "host_gate.h"
#include "host_test.h"

namespace {

constexpr char kImage[] = "// cuda-ipc kernels: cuda_ipc_fill_u32 no_such_kernel\n.version 7.0\n";

CUstream create_stream(unsigned flags) {
  CUstream stream = nullptr;
  OK(cuStreamCreate(&stream, flags));
  return stream;
}

CUevent create_event(unsigned flags) {
  CUevent event = nullptr;
  OK(cuEventCreate(&event, flags));
  return event;
}

void works_in_order() {
  const CUstream stream = create_stream(CU_STREAM_NON_BLOCKING);
  const CUevent start = create_event(0), end = create_event(0);
  CUdeviceptr pointer = 0;
  OK(cuMemAlloc(&pointer, 64));
  OK(cuMemsetD8(pointer, 0, 64));
  float milliseconds = -1;
  OK(cuEventQuery(start));
  EXPECT(CUDA_ERROR_INVALID_HANDLE, cuEventElapsedTime(&milliseconds, start, end));
  OK(cuEventRecord(start, stream));
  Gate gate(stream);
  OK(cuMemsetD8Async(pointer, 1, 64, stream));
  OK(cuMemsetD8Async(pointer, 2, 32, stream));
  OK(cuEventRecord(end, stream));
  EXPECT(CUDA_ERROR_NOT_READY, cuStreamQuery(stream));
  EXPECT(CUDA_ERROR_NOT_READY, cuEventQuery(end));
  EXPECT(CUDA_ERROR_NOT_READY, cuEventElapsedTime(&milliseconds, start, end));
  CHECK(all_are(read_back(pointer, 64), 0));  // the default stream does not wait for this one
  gate.open();
  OK(cuEventSynchronize(end));
  OK(cuEventQuery(end));
  OK(cuEventElapsedTime(&milliseconds, start, end));
  CHECK(milliseconds >= 0);
  CHECK(read_back(pointer, 64)[31] == 2 && read_back(pointer, 64)[32] == 1);
  OK(cuStreamDestroy(stream));
  EXPECT(CUDA_ERROR_INVALID_HANDLE, cuStreamSynchronize(stream));
  OK(cuEventDestroy(start));
  OK(cuEventDestroy(end));
  EXPECT(CUDA_ERROR_INVALID_HANDLE, cuEventQuery(end));
  OK(cuMemFree(pointer));
}

void orders_the_default_stream() {
  const CUstream one = create_stream(CU_STREAM_DEFAULT), other = create_stream(CU_STREAM_DEFAULT);
  const CUstream free_one = create_stream(CU_STREAM_NON_BLOCKING);
  CUdeviceptr pointer = 0;
  OK(cuMemAlloc(&pointer, 3));
  OK(cuMemsetD8(pointer, 0, 3));
  Gate gate(one);
  OK(cuMemsetD8Async(pointer, 1, 3, one));
  OK(cuMemsetD8Async(pointer, 2, 2, nullptr));  // after `one`
  OK(cuMemsetD8Async(pointer, 3, 1, other));    // after the default stream
  EXPECT(CUDA_ERROR_NOT_READY, cuStreamQuery(other));
  EXPECT(CUDA_ERROR_NOT_READY, cuStreamQuery(nullptr));
  OK(cuMemsetD8Async(pointer, 9, 3, free_one));
  OK(cuStreamSynchronize(free_one));
  gate.open();
  const auto data = read_back(pointer, 3);  // a copy in the default stream: after `other`
  CHECK(data[0] == 3 && data[1] == 2 && data[2] == 1);
  OK(cuStreamQuery(other));
  for (const CUstream stream : {one, other, free_one}) OK(cuStreamDestroy(stream));
  OK(cuMemFree(pointer));
}

void waits_for_events() {
  const CUstream first = create_stream(CU_STREAM_NON_BLOCKING),
                 second = create_stream(CU_STREAM_NON_BLOCKING);
  const CUevent event = create_event(CU_EVENT_DISABLE_TIMING);
  CUdeviceptr pointer = 0;
  OK(cuMemAlloc(&pointer, 1));
  OK(cuStreamWaitEvent(second, event, 0));  // not recorded: no wait
  OK(cuStreamSynchronize(second));
  Gate gate(first);
  OK(cuMemsetD8Async(pointer, 1, 1, first));
  OK(cuEventRecord(event, first));
  OK(cuStreamWaitEvent(second, event, 0));
  OK(cuMemsetD8Async(pointer, 2, 1, second));
  OK(cuStreamDestroy(first));  // what is queued is still done
  EXPECT(CUDA_ERROR_NOT_READY, cuStreamQuery(second));
  gate.open();
  OK(cuCtxSynchronize());
  CHECK(read_back(pointer, 1)[0] == 2);
  OK(cuStreamDestroy(second));
  OK(cuEventDestroy(event));
  OK(cuMemFree(pointer));
}

void frees_after_the_work() {
  const CUstream stream = create_stream(CU_STREAM_NON_BLOCKING);
  CUdeviceptr pointer = 0;
  OK(cuMemAlloc(&pointer, 64 * kMiB));
  for (int i = 0; i < 4; i++) OK(cuMemsetD8Async(pointer, 1, 64 * kMiB, stream));
  OK(cuMemFree(pointer));
  OK(cuStreamSynchronize(stream));
  OK(cuStreamDestroy(stream));
}

CUfunction load_fill() {
  CUmodule module = nullptr;
  CUfunction function = nullptr;
  EXPECT(CUDA_ERROR_INVALID_IMAGE, cuModuleLoadData(&module, "garbage"));
  EXPECT(CUDA_ERROR_INVALID_IMAGE, cuModuleLoadData(&module, ""));
  EXPECT(CUDA_ERROR_INVALID_IMAGE, cuModuleLoadData(&module, "// a comment\n"));
  OK(cuModuleLoadData(&module, kImage));
  EXPECT(CUDA_ERROR_NOT_FOUND, cuModuleGetFunction(&function, module, "no_such_kernel"));
  EXPECT(CUDA_ERROR_NOT_FOUND, cuModuleGetFunction(&function, module, "cuda_ipc_fill_u8"));
  OK(cuModuleGetFunction(&function, module, "cuda_ipc_fill_u32"));
  return function;
}

CUresult launch_fill(CUfunction function, CUdeviceptr pointer, unsigned long long count, unsigned value,
                     unsigned grid = 1, unsigned block = 32) {
  void* parameters[] = {&pointer, &count, &value};
  return host::table().cuLaunchKernel(function, grid, 1, 1, block, 1, 1, 0, nullptr, parameters, nullptr);
}

void launches_kernels() {
  const CUfunction fill = load_fill();
  CUdeviceptr pointer = 0;
  OK(cuMemAlloc(&pointer, 400));
  CHECK(launch_fill(fill, pointer, 100, 0x05050505) == CUDA_SUCCESS);
  CHECK(all_are(read_back(pointer, 400), 5));
  CHECK(launch_fill(fill, pointer, 100, 0, 1, 2048) == CUDA_ERROR_INVALID_VALUE);
  CHECK(launch_fill(fill, pointer, 100, 0, 0) == CUDA_ERROR_INVALID_VALUE);
  OK(cuMemFree(pointer));
}

void fails_a_context_for_good() {
  const CUmemAllocationProp wanted = properties();
  CUmemGenericAllocationHandle handle = 0;
  OK(cuMemCreate(&handle, 2 * kMiB, &wanted, 0));
  const CUdeviceptr pointer = map(handle, 2 * kMiB, CU_MEM_ACCESS_FLAGS_PROT_READ);
  CHECK(launch_fill(load_fill(), pointer, 1, 1) == CUDA_SUCCESS);
  EXPECT(CUDA_ERROR_ILLEGAL_ADDRESS, cuCtxSynchronize());
  char byte = 0;
  CUdeviceptr more = 0;
  EXPECT(CUDA_ERROR_ILLEGAL_ADDRESS, cuMemcpyDtoH(&byte, pointer, 1));
  EXPECT(CUDA_ERROR_ILLEGAL_ADDRESS, cuMemAlloc(&more, 1));
  OK(cuMemUnmap(pointer, 2 * kMiB));
  OK(cuMemRelease(handle));
  OK(cuDevicePrimaryCtxRelease(0));
  CUcontext context = nullptr;
  EXPECT(CUDA_ERROR_ILLEGAL_ADDRESS, cuDevicePrimaryCtxRetain(&context, 0));
  bring_up(1);  // another device is none the worse
  OK(cuMemAlloc(&more, 1));
  OK(cuMemFree(more));
}

void wait_for_event(Line& line) {
  bring_up();
  const auto handle = line.receive<CUipcEventHandle>();
  CUevent event = nullptr;
  CUipcEventHandle unwanted{};
  OK(cuIpcOpenEventHandle(&event, handle));
  EXPECT(CUDA_ERROR_INVALID_HANDLE, cuIpcGetEventHandle(&unwanted, event));
  CUevent garbage = nullptr;
  EXPECT(CUDA_ERROR_MAP_FAILED, cuIpcOpenEventHandle(&garbage, unwanted));
  line.send(host::table().cuEventQuery(event));
  line.receive<char>();
  EXPECT(CUDA_ERROR_NOT_READY, cuEventQuery(event));
  const CUstream stream = create_stream(CU_STREAM_NON_BLOCKING);
  OK(cuStreamWaitEvent(stream, event, 0));
  EXPECT(CUDA_ERROR_NOT_READY, cuStreamQuery(stream));
  line.send('w');
  OK(cuStreamSynchronize(stream));
  OK(cuEventSynchronize(event));
  OK(cuEventQuery(event));
  OK(cuEventRecord(event, stream));
  OK(cuStreamSynchronize(stream));
  OK(cuEventDestroy(event));
  OK(cuStreamDestroy(stream));
}

void shares_events() {
  CUevent event = nullptr, opened = nullptr;
  CUipcEventHandle handle;
  EXPECT(CUDA_ERROR_INVALID_VALUE, cuEventCreate(&event, CU_EVENT_INTERPROCESS));
  event = create_event(CU_EVENT_DISABLE_TIMING);
  EXPECT(CUDA_ERROR_INVALID_HANDLE, cuIpcGetEventHandle(&handle, event));
  OK(cuEventDestroy(event));
  event = create_event(CU_EVENT_INTERPROCESS | CU_EVENT_DISABLE_TIMING);
  OK(cuIpcGetEventHandle(&handle, event));
  EXPECT(CUDA_ERROR_INVALID_CONTEXT, cuIpcOpenEventHandle(&opened, handle));

  Child child("wait");
  child.line.send(handle);
  CHECK(child.line.receive<CUresult>() == CUDA_SUCCESS);
  const CUstream stream = create_stream(CU_STREAM_NON_BLOCKING);
  Gate gate(stream);
  OK(cuEventRecord(event, stream));
  child.line.send('g');
  child.line.receive<char>();
  EXPECT(CUDA_ERROR_NOT_READY, cuEventQuery(event));
  gate.open();
  child.succeed();
  OK(cuEventSynchronize(event));
  OK(cuEventDestroy(event));
  OK(cuStreamDestroy(stream));
}

void record_behind_a_gate(Line& line) {
  bring_up();
  const CUevent event = create_event(CU_EVENT_INTERPROCESS | CU_EVENT_DISABLE_TIMING);
  CUipcEventHandle handle;
  OK(cuIpcGetEventHandle(&handle, event));
  const Gate gate(nullptr);
  OK(cuEventRecord(event, nullptr));
  line.send(handle);
  line.receive<char>();
}

// Nobody is taken for dead for want of a descriptor to look with.
void query_without_descriptors(CUevent event) {
  rlimit before{};
  CHECK(getrlimit(RLIMIT_NOFILE, &before) == 0);
  const rlimit none{0, before.rlim_max};
  CHECK(setrlimit(RLIMIT_NOFILE, &none) == 0);
  const CUresult result = host::table().cuEventQuery(event);
  CHECK(setrlimit(RLIMIT_NOFILE, &before) == 0);
  CHECK(result == CUDA_ERROR_NOT_READY);
}

void outlives_the_recorder() {
  Child child("record");
  const auto handle = child.line.receive<CUipcEventHandle>();
  CUevent event = nullptr;
  OK(cuIpcOpenEventHandle(&event, handle));
  EXPECT(CUDA_ERROR_NOT_READY, cuEventQuery(event));
  query_without_descriptors(event);
  auto waiter = std::async(std::launch::async, [&] { return host::table().cuEventSynchronize(event); });
  child.kill();
  CHECK(waiter.get() == CUDA_SUCCESS);
  OK(cuEventQuery(event));
  OK(cuEventDestroy(event));
  OK(cuIpcOpenEventHandle(&event, handle));  // as on a GPU: the event of the dead is done
  OK(cuEventSynchronize(event));
  OK(cuEventDestroy(event));

  host::IpcHandle named;
  CHECK(host::read_ipc_handle(handle.reserved, host::IpcKind::kEvent, named));
  const uint64_t here = host::pid_namespace();
  CHECK(host::is_proven_dead(named.process(), here));
  // Who is out of sight may live, and its event must not be taken for done.
  CHECK(!host::is_proven_dead(named.process(), here + 1));
  CHECK(!host::is_proven_dead(named.process(), 0));
  CHECK(!host::is_proven_dead(host::this_process(), here));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1) {
    Line line(kChildLine);
    if (argv[1] == std::string("wait")) wait_for_event(line);
    if (argv[1] == std::string("record")) record_behind_a_gate(line);
    return 0;
  }
  use_fresh_scope();
  bring_up();
  works_in_order();
  orders_the_default_stream();
  waits_for_events();
  frees_after_the_work();
  launches_kernels();
  shares_events();
  outlives_the_recorder();
  fails_a_context_for_good();
}
