# Runs a program as a service of service-manager.py: with what that has in store from descriptor 3 on, named in the
# environment as sd_listen_fds(3) has it. Node's own channel to its parent, which may be in the way, is moved.
import fcntl, json, os, socket, sys

control, program = sys.argv[1], sys.argv[2:]
peer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
peer.connect(control)
head, fds, _, _ = socket.recv_fds(peer, 8, 253)
names = b""
while len(names) < int(head):
    names += peer.recv(int(head) - len(names))
names = json.loads(names)
peer.close()

end = 3 + len(fds)
fds = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, end + 1) for fd in fds]
channel = os.environ.get("NODE_CHANNEL_FD")
if channel is not None:
    moved = fcntl.fcntl(int(channel), fcntl.F_DUPFD_CLOEXEC, end + 1)
    os.close(int(channel))
    os.dup2(moved, end)
    os.environ["NODE_CHANNEL_FD"] = str(end)
for n, fd in enumerate(fds):
    os.dup2(fd, 3 + n)  # and will be inherited: the program has yet to say otherwise
if names:
    os.environ["LISTEN_FDS"] = str(len(names))
    os.environ["LISTEN_FDNAMES"] = ":".join(names)
    os.environ.setdefault("LISTEN_PID", str(os.getpid()))
os.execvp(program[0], program)
