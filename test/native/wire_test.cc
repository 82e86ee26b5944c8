// What native code reads of the wire: frames in chunks of any size, the memory that a grant names, and what a
// client asks for.
#include "wire/attach_request.h"
#include "wire/frame_scan.h"
#include "wire/grant.h"
#include "wire/json_reader.h"
#include "wire/text_bytes.h"

#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "check.h"

namespace {

using namespace cuda_ipc;

const std::string kHandle = std::string(84, 'A') + "/w==";  // 63 zeros and 0xff

const std::string kAttached =
    R"({"fds":1,"type":"attached","re":7,"lease":"00ff","version":{"set":"a \"slabs\":[] \\","x":[{"id":1}]},)"
    R"("slabs":[{"id":"000102030405060708090a0b0c0d0e0f","device":"GPU-1","bytes":4096,"sharing":"vmm","handle":null},)"
    R"({"handle":")" +
    kHandle +
    R"(","bytes":9007199254740991,"device":"GPU-2","id":"ffffffffffffffffffffffffffffffff","sharing":"ipc"}]})";

const std::string kAttach =
    R"({"fds":0,"type":"attach","id":1,"set":"llm","version":"v1","checksum":"c1","access":"read","lease":"00ff","ahead":true})";

std::string with(std::string text, const std::string& part, const std::string& other) {
  const size_t at = text.find(part);
  CHECK(at != std::string::npos);
  return text.replace(at, part.size(), other);
}

std::string framed(const std::string& text) {
  const auto size = static_cast<uint32_t>(text.size());
  std::string frame(4, '\0');
  for (int i = 0; i < 4; ++i) frame[i] = static_cast<char>(size >> (8 * i));
  return frame + text;
}

std::vector<std::string> push(FrameScan& scan, const std::string& chunk) {
  std::vector<std::string> texts;
  for (const std::string_view frame : scan.push(reinterpret_cast<const uint8_t*>(chunk.data()), chunk.size()))
    texts.emplace_back(frame);
  return texts;
}

void a_grant_is_read() {
  const std::optional<Grant> grant = read_grant(kAttached);
  CHECK(grant && grant->lease == "00ff" && grant->slabs.size() == 2);
  const GrantedSlab& vmm = grant->slabs[0];
  CHECK(vmm.id[0] == 0 && vmm.id[15] == 15 && vmm.uuid == "GPU-1" && vmm.bytes == 4096 && !vmm.handle);
  const GrantedSlab& ipc = grant->slabs[1];
  CHECK(ipc.uuid == "GPU-2" && ipc.bytes == 9007199254740991 && ipc.handle);
  CHECK(ipc.handle->reserved[62] == 0 && ipc.handle->reserved[63] == '\xff');
  CHECK(declared_descriptors(kAttached) == 1u);
}

void space_and_order_do_not_matter() {
  CHECK(read_grant(" { \"slabs\" : [ ] ,\n\"lease\":\"1\" , \"type\" : \"attached\" } ")->slabs.empty());
}

void whatever_else_comes_is_left_to_javascript() {
  for (
      const char* text :
      {"", "{", "[]", "null", "{\"fds\":0}", R"({"type":"offer","lease":"1","slabs":[]})",
       R"({"type":"attached","slabs":[]})", R"({"type":"attached","lease":"\u0031","slabs":[]})",
       R"({"type":"attached","lease":"1","slabs":[{}]})", R"({"type":"attached","lease":"1","slabs":{}})",
       R"({"type":"attached","lease":"1","slabs":[{"id":"00","device":"G","bytes":1,"handle":null}]})",
       R"({"type":"attached","lease":"1","slabs":[{"id":"000102030405060708090a0b0c0d0e0f","device":"G","bytes":1.5,"handle":null}]})",
       R"({"type":"attached","lease":"1","slabs":[{"id":"000102030405060708090a0b0c0d0e0f","device":"G","bytes":1,"handle":"AA"}]})"})
    CHECK(!read_grant(text));
  CHECK(!declared_descriptors("{\"type\":\"attached\",\"fds\":1}"));
  CHECK(!declared_descriptors("{\"fds\":-1}"));
  CHECK(!declared_descriptors("{\"fds\":99999999999999999999}"));
}

void what_comes_ahead_is_read_as_a_grant_is() {
  const std::string slabs = kAttached.substr(kAttached.find("\"slabs\":[{"));
  const std::optional<Grant> ahead =
      read_grant(R"({"fds":1,"type":"ahead","version":{"set":"a","type":"attached","lease":"1"},)" + slabs);
  CHECK(ahead && ahead->ahead && ahead->lease.empty() && ahead->slabs.size() == 2);
  const std::optional<Grant> grant =
      read_grant(R"({"fds":0,"type":"attached","re":1,"ahead":true,"lease":"00ff","slabs":[]})");
  CHECK(grant && !grant->ahead && grant->lease == "00ff" && grant->slabs.empty());
  CHECK(!read_grant(kAttached)->ahead);
  // Which lease it is for is not for the owner to say.
  CHECK(!read_grant(R"({"fds":0,"type":"ahead","lease":"00ff","slabs":[]})"));
  CHECK(!read_grant(R"({"fds":0,"type":"attach","ahead":true,"slabs":[]})"));
}

void a_request_is_read() {
  const std::optional<AttachRequest> request = read_attach_request(kAttach);
  CHECK(request && request->set == "llm" && request->version == "v1" && request->checksum == "c1");
  CHECK(request->lease == "00ff" && request->ahead);
  const auto any = read_attach_request(with(with(kAttach, "\"v1\"", "null"), "\"c1\"", "null"));
  CHECK(any && !any->version && !any->checksum);
  CHECK(!read_attach_request(with(kAttach, "true", "false"))->ahead);
  CHECK(!read_attach_request(with(kAttach, ",\"ahead\":true", ""))->ahead);
  CHECK(read_attach_request(" { \"lease\" : \"1\" , \"type\" : \"attach\", \"set\" :\"\xc3\xa4\" }")->set ==
        "\xc3\xa4");
  // The longest of names is read; a frame as long as an offer is not.
  CHECK(read_attach_request(with(kAttach, "llm", std::string(768, 'x'))));
  CHECK(!read_attach_request(with(kAttach, "llm", std::string(5000, 'x'))));
}

void requests_that_are_not_as_expected_are_left_to_javascript() {
  for (const auto& [part, other] :
       std::vector<std::pair<std::string, std::string>>{{"\"attach\"", "\"attached\""},
                                                        {"\"attach\"", "\"retain\""},
                                                        {"\"llm\"", "\"l\\u006cm\""},
                                                        {"\"llm\"", "\"\""},
                                                        {"\"llm\"", "null"},
                                                        {"\"00ff\"", "\"\\u0030\""},
                                                        {"\"00ff\"", "7"},
                                                        {"\"v1\"", "\"\\n\""},
                                                        {"\"v1\"", "1"},
                                                        {"\"c1\"", "false"},
                                                        {"true", "1"},
                                                        {"true", "\"true\""},
                                                        {"\"lease\":\"00ff\",", ""},
                                                        {"\"set\":\"llm\",", ""},
                                                        {"}", ""}})
    CHECK(!read_attach_request(with(kAttach, part, other)));
  // Within an offer, wherever it says so.
  CHECK(
      !read_attach_request(R"({"fds":1,"type":"offer","version":{"type":"attach","set":"a","lease":"1"}})"));
}

void a_hello_is_told_from_the_rest() {
  const auto hello =
      read_hello(R"({"fds":0,"type":"hello","protocol":[1],"client":{"name":"a","version":"1"}})");
  CHECK(hello && hello->first_version && hello->provider.empty());
  CHECK(!read_hello(kAttach) && !read_hello("") && !read_hello("{\"fds\":0,\"type\":\"hello\""));
  CHECK(!read_hello(R"({"fds":0,"type":"retain","x":{"type":"hello"}})"));
  const auto other =
      read_hello(R"({"type":"hello","driver":{"version":null,"provider":"host"},"protocol":[2,3,11]})");
  CHECK(other && !other->first_version && other->provider == "host");
  CHECK(read_hello(R"({"type":"hello","protocol":[2,1,3]})")->first_version);
  for (const char* wrong :
       {R"({"type":"hello","protocol":1})", R"({"type":"hello","protocol":["1"]})",
        R"({"type":"hello","driver":"host"})", R"({"type":"hello","driver":{"provider":1}})"})
    CHECK(!read_hello(wrong));
}

std::string damaged(const std::string& text, std::mt19937& random) {
  std::string other = text;
  for (int change = 0; change < 3; ++change) other[random() % other.size()] = "{}[]\",:\\0an "[random() % 12];
  return other;
}

// For the sanitizers: nothing is read beyond what is there.
void broken_messages_harm_nobody() {
  std::mt19937 random(7);
  const auto exactly = [](const std::string& text, size_t size) {
    return std::vector<char>(text.begin(), text.begin() + static_cast<long>(size));
  };
  for (size_t size = 0; size < kAttached.size(); ++size) {
    const std::vector<char> exact = exactly(kAttached, size);
    CHECK(!read_grant({exact.data(), exact.size()}));
  }
  for (size_t size = 0; size < kAttach.size(); ++size) {
    const std::vector<char> exact = exactly(kAttach, size);
    CHECK(!read_attach_request({exact.data(), exact.size()}));
  }
  for (int round = 0; round < 20000; ++round) {
    const std::string grant = damaged(kAttached, random);
    const std::vector<char> exact = exactly(grant, grant.size());
    read_grant({exact.data(), exact.size()});
    const std::string request = damaged(kAttach, random);
    const std::vector<char> other = exactly(request, request.size());
    read_attach_request({other.data(), other.size()});
    read_hello({other.data(), other.size()});
  }
}

void frames_are_found_in_their_chunk() {
  FrameScan scan;
  const std::string two = framed("one") + framed("another");
  CHECK((push(scan, two) == std::vector<std::string>{"one", "another"}));
  // One that is cut is passed over, and so is what shares a chunk with its end: descriptors may be of either.
  CHECK((push(scan, framed("first") + framed("cut").substr(0, 5)) == std::vector<std::string>{"first"}));
  CHECK(push(scan, framed("cut").substr(5) + framed("behind")).empty());
  CHECK((push(scan, framed("next")) == std::vector<std::string>{"next"}));
}

void any_cut_leaves_the_scan_aligned() {
  const std::string stream = framed("a") + framed(std::string(300, 'b')) + framed("{}");
  std::mt19937 random(11);
  for (int round = 0; round < 2000; ++round) {
    FrameScan scan;
    for (size_t at = 0; at < stream.size();) {
      const size_t size = std::min<size_t>(1 + random() % 40, stream.size() - at);
      for (const std::string& text : push(scan, stream.substr(at, size)))
        CHECK(text == "a" || text == "{}" || text.size() == 300);
      at += size;
    }
    CHECK((push(scan, framed("whole")) == std::vector<std::string>{"whole"}));
  }
}

void bytes_have_their_length() {
  char bytes[3];
  CHECK(bytes_of_hex("00ff10", bytes, 3) && bytes[1] == '\xff' && bytes[2] == 16);
  CHECK(!bytes_of_hex("00ff1", bytes, 3) && !bytes_of_hex("00FF10", bytes, 3) &&
        !bytes_of_hex("00fg10", bytes, 3));
  CHECK(bytes_of_base64("AP8Q", bytes, 3) && bytes[1] == '\xff' && bytes[2] == 16);
  CHECK(bytes_of_base64("AP8=", bytes, 2) && bytes_of_base64("AA==", bytes, 1));
  CHECK(!bytes_of_base64("AP8", bytes, 2) && !bytes_of_base64("AP8Q", bytes, 2) &&
        !bytes_of_base64("A-8Q", bytes, 3));
}

void values_are_passed_over() {
  for (const std::string value :
       {"1", "-1.5e3", "true", "\"a\\\"]\"", "[1,[2,\"]\"],{}]", "{\"a\":[{\"b\":\"}\"}]}"}) {
    const std::string first = value + ",9";
    CHECK(JsonReader(first).skip());
    if (value == "true") CHECK(JsonReader(first).boolean() == true && !JsonReader("tru").boolean());
    int count = 0;
    const std::string text = "[" + value + "," + value + "]";
    JsonReader both(text);
    CHECK(both.array([&] { return ++count > 0 && both.skip(); }) && count == 2);
  }
  for (const char* broken : {"", "]", "\"a", "\"a\\", "[1", "{\"a\":"}) CHECK(!JsonReader(broken).skip());
}

}  // namespace

int main() {
  a_grant_is_read();
  space_and_order_do_not_matter();
  whatever_else_comes_is_left_to_javascript();
  what_comes_ahead_is_read_as_a_grant_is();
  a_request_is_read();
  requests_that_are_not_as_expected_are_left_to_javascript();
  a_hello_is_told_from_the_rest();
  broken_messages_harm_nobody();
  frames_are_found_in_their_chunk();
  any_cut_leaves_the_scan_aligned();
  bytes_have_their_length();
  values_are_passed_over();
}
