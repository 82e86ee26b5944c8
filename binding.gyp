{
  "targets": [
    {
      "target_name": "cuda_ipc",
      "sources": ["<!@(node scripts/native-sources.js)"],
      "include_dirs": ["<!(node -p \"require('node-addon-api').include_dir\")", "native", "<(SHARED_INTERMEDIATE_DIR)"],
      "defines": ["NAPI_VERSION=8", "NODE_ADDON_API_CPP_EXCEPTIONS", "NODE_ADDON_API_DISABLE_DEPRECATED", "NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS"],
      "cflags": ["-Wall", "-Wextra", "-Wno-unused-parameter", "-fvisibility=hidden"],
      "cflags!": ["-fno-exceptions"],
      "cflags_cc": ["-std=c++17"],
      "cflags_cc!": ["-fno-exceptions", "-fno-rtti", "-std=gnu++17", "-std=gnu++20"],
      "libraries": ["-ldl", "-lpthread"],
      "ldflags": ["-Wl,-z,nodelete"],
      "actions": [
        {
          "action_name": "embed_kernels",
          "inputs": ["scripts/compile-kernels.js", "scripts/embed-kernels.js", "<!@(node scripts/embed-kernels.js --list)"],
          "outputs": ["<(SHARED_INTERMEDIATE_DIR)/kernels_ptx.inc"],
          "action": ["node", "scripts/embed-kernels.js", "<(SHARED_INTERMEDIATE_DIR)/kernels_ptx.inc"]
        }
      ]
    },
    {
      "target_name": "cuda_ipc_early",
      "target_conditions": [["_type=='loadable_module'", {"product_extension": "so"}]],
      "sources": ["<!@(node scripts/native-sources.js --early)"],
      "include_dirs": ["native"],
      "cflags": ["-Wall", "-Wextra", "-fvisibility=hidden"],
      "cflags_cc": ["-std=c++17"],
      "cflags_cc!": ["-std=gnu++17", "-std=gnu++20"],
      "libraries": ["-ldl", "-lpthread"],
      "ldflags": ["-Wl,-z,nodelete", "-Wl,--as-needed"]
    }
  ]
}
