# Stands in for systemd as far as a service's store of descriptors goes: takes notifications with descriptors, keeps
# them, and hands them to the service at its next start (service.py). Told what to do by lines of JSON, and tells what
# it has done in the same way.
import json, os, selectors, socket, sys

notify_path, control_path, limit = sys.argv[1], sys.argv[2], int(sys.argv[3])
address = "\0" + notify_path[1:] if notify_path.startswith("@") else notify_path
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notify.bind(address)
control = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
control.bind(control_path)
control.listen()
store = []  # [name, descriptor], the newest first
sockets = []


def tell(**event):
    print(json.dumps(event), flush=True)


def remove(name):
    for entry in [entry for entry in store if entry[0] == name]:
        store.remove(entry)
        os.close(entry[1])


def keep(name, fd):
    if len(store) >= limit:
        os.close(fd)  # as systemd does, without a word
    else:
        store.insert(0, [name, fd])


def notified():
    data, fds, _, _ = socket.recv_fds(notify, 65536, 253)
    fields = dict(line.split("=", 1) for line in data.decode().split("\n"))
    if "BARRIER" in fields:
        assert fields == {"BARRIER": "1"} and len(fds) == 1, fields
    elif fields.get("FDSTORE") == "1":
        assert fields.get("FDPOLL") == "0", fields
        for fd in fds:
            keep(fields.get("FDNAME", "stored"), fd)
        fds = []
    elif fields.get("FDSTOREREMOVE") == "1":
        remove(fields["FDNAME"])
    for fd in fds:
        os.close(fd)
    tell(event="notified", fields=fields, stored=[name for name, _ in store])


def start():
    peer, _ = control.accept()
    passed = sockets + store
    names = json.dumps([name for name, _ in passed]).encode()
    head = b"%8d" % len(names)
    if passed:
        socket.send_fds(peer, [head], [fd for _, fd in passed])
    else:
        peer.sendall(head)
    peer.sendall(names)
    peer.close()


def command():
    line = sys.stdin.readline()
    if line == "":
        sys.exit(0)
    order = json.loads(line)
    if order["order"] == "listen":
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(order["path"])
        listener.listen()
        sockets.append([order["name"], listener.detach()])
    elif order["order"] == "pause":
        selector.unregister(notify)
    elif order["order"] == "resume":
        selector.register(notify, selectors.EVENT_READ, notified)
    elif order["order"] == "swap":
        one, other = [next(entry for entry in store if entry[0] == name) for name in order["names"]]
        one[1], other[1] = other[1], one[1]
    elif order["order"] == "clear":
        for name in {name for name, _ in store if name == order.get("name", name)}:
            remove(name)
    tell(event="done", stored=[name for name, _ in store])


selector = selectors.DefaultSelector()
selector.register(notify, selectors.EVENT_READ, notified)
selector.register(control, selectors.EVENT_READ, start)
selector.register(sys.stdin, selectors.EVENT_READ, command)
tell(event="ready", stored=[])
while True:
    for key, _ in selector.select():
        key.data()
