// Device memory by plain pointers: allocate, free, copy, set, ask.
#include "addon/arguments.h"
#include "addon/exports.h"
#include "addon/lent_view.h"
#include "addon/pointer.h"
#include "addon/stream_point.h"
#include "addon/undelivered.h"
#include "addon/unwrap.h"
#include "memory/undo.h"

namespace cuda_ipc {

namespace {

Napi::Value mem_alloc(const Napi::CallbackInfo& info) {
  const int device = device_argument(info[0]);
  const size_t bytes = bytes_argument(info[1], "bytes", 1);
  return run_async(
      info.Env(),
      [=] {
        const ContextScope scope(device);
        cu::CUdeviceptr pointer = 0;
        const cu::CUresult result = driver().cuMemAlloc(&pointer, bytes);
        if (result == cu::CUDA_ERROR_OUT_OF_MEMORY) throw_out_of_memory("cuMemAlloc", bytes);
        if (result != cu::CUDA_SUCCESS) throw_cuda_error(result, "cuMemAlloc");
        return Undelivered(pointer, [device](cu::CUdeviceptr pointer) {
          undo(device, [pointer](const cu::Table& table) { table.cuMemFree(pointer); });
        });
      },
      [](Napi::Env env, auto& memory) -> Napi::Value { return memory.deliver(env); });
}

Napi::Value mem_free(const Napi::CallbackInfo& info) {
  const int device = device_argument(info[0]);
  const cu::CUdeviceptr pointer = pointer_argument(info[1], "pointer");
  return run_async(info.Env(), [=] {
    const ContextScope scope(device);
    CUDA_IPC_CHECK(cuMemFree(pointer));
  });
}

Napi::Value memcpy_host_to_device(const Napi::CallbackInfo& info) {
  const int device = device_argument(info[0]);
  const cu::CUdeviceptr target = pointer_argument(info[1], "target");
  auto stream = stream_argument(info[3], "stream", device);
  return run_with_view(info.Env(), info[2], "source",
                       [device, target, stream](const uint8_t* source, size_t bytes) {
                         if (bytes == 0) return;
                         const ContextScope scope(device);
                         if (!stream) {
                           CUDA_IPC_CHECK(cuMemcpyHtoD(target, source, bytes));
                           // The driver may return with the last part still on its way, which non-blocking
                           // streams would not wait for.
                           CUDA_IPC_CHECK(cuStreamSynchronize(nullptr));
                           return;
                         }
                         CUDA_IPC_CHECK(cuMemcpyHtoDAsync(target, source, bytes, stream->handle));
                         StreamPoint(*stream).wait();
                       });
}

Napi::Value memcpy_device_to_host(const Napi::CallbackInfo& info) {
  const int device = device_argument(info[0]);
  const cu::CUdeviceptr source = pointer_argument(info[2], "source");
  auto stream = stream_argument(info[3], "stream", device);
  return run_with_view(info.Env(), info[1], "target",
                       [device, source, stream](uint8_t* target, size_t bytes) {
                         if (bytes == 0) return;
                         const ContextScope scope(device);
                         if (!stream) {
                           CUDA_IPC_CHECK(cuMemcpyDtoH(target, source, bytes));
                           return;
                         }
                         CUDA_IPC_CHECK(cuMemcpyDtoHAsync(target, source, bytes, stream->handle));
                         StreamPoint(*stream).wait();
                       });
}

// A promise of the end of what the stream holds so far.
Napi::Value stream_reached(Napi::Env env, const StreamRef& stream) {
  return run_async(env, [point = StreamPoint(stream)] { point.wait(); });
}

Napi::Value memcpy_device_to_device(const Napi::CallbackInfo& info) {
  const int device = device_argument(info[0]);
  const cu::CUdeviceptr target = pointer_argument(info[1], "target");
  const cu::CUdeviceptr source = pointer_argument(info[2], "source");
  const size_t bytes = bytes_argument(info[3], "bytes");
  if (const auto stream = stream_argument(info[4], "stream", device)) {
    const ContextScope scope(device);
    CUDA_IPC_CHECK(cuMemcpyDtoDAsync(target, source, bytes, stream->handle));
    return stream_reached(info.Env(), *stream);
  }
  return run_async(info.Env(), [=] {
    const ContextScope scope(device);
    CUDA_IPC_CHECK(cuMemcpyDtoD(target, source, bytes));
    // Between device and device the driver only enqueues.
    CUDA_IPC_CHECK(cuStreamSynchronize(nullptr));
  });
}

void set(cu::CUdeviceptr pointer, unsigned value, int64_t width, size_t count, cu::CUstream stream) {
  if (width == 1) {
    CUDA_IPC_CHECK(cuMemsetD8Async(pointer, static_cast<unsigned char>(value), count, stream));
  } else if (width == 2) {
    CUDA_IPC_CHECK(cuMemsetD16Async(pointer, static_cast<unsigned short>(value), count, stream));
  } else {
    CUDA_IPC_CHECK(cuMemsetD32Async(pointer, value, count, stream));
  }
}

Napi::Value mem_set(const Napi::CallbackInfo& info) {
  const int device = device_argument(info[0]);
  const cu::CUdeviceptr pointer = pointer_argument(info[1], "pointer");
  const int64_t width = integer_argument(info[3], "width", 1, 4);
  if (width == 3) invalid_argument("width", "1, 2 or 4", info[3]);
  const auto value = static_cast<unsigned>(integer_argument(info[2], "value", 0, (1LL << (8 * width)) - 1));
  const size_t count = bytes_argument(info[4], "count");
  if (const auto stream = stream_argument(info[5], "stream", device)) {
    const ContextScope scope(device);
    set(pointer, value, width, count, stream->handle);
    return stream_reached(info.Env(), *stream);
  }
  return run_async(info.Env(), [=] {
    const ContextScope scope(device);
    set(pointer, value, width, count, nullptr);
    CUDA_IPC_CHECK(cuStreamSynchronize(nullptr));
  });
}

}  // namespace

void export_memory(Napi::Env env, Napi::Object exports) {
  exports["memAlloc"] = Napi::Function::New<checked<mem_alloc>>(env, "memAlloc");
  exports["memFree"] = Napi::Function::New<checked<mem_free>>(env, "memFree");
  exports["memcpyHtoD"] = Napi::Function::New<checked<memcpy_host_to_device>>(env, "memcpyHtoD");
  exports["memcpyDtoH"] = Napi::Function::New<checked<memcpy_device_to_host>>(env, "memcpyDtoH");
  exports["memcpyDtoD"] = Napi::Function::New<checked<memcpy_device_to_device>>(env, "memcpyDtoD");
  exports["memset"] = Napi::Function::New<checked<mem_set>>(env, "memset");
  export_pointer_attributes(env, exports);
}

}  // namespace cuda_ipc
