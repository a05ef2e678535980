#!/usr/bin/env python3
"""A plugin of age that hides file keys by an exclusive or, and notes what environment it was started in."""
import base64, os, sys

HERE = os.path.dirname(os.path.abspath(sys.argv[0]))
MODE = sys.argv[1].split("=", 1)[1]
with open(os.path.join(HERE, "seen-" + MODE), "w") as seen:
    seen.writelines(f"{name}={value}\n" for name, value in os.environ.items())


def read():
    """The next stanza: its words and its body."""
    words, body = sys.stdin.readline().split()[1:], ""
    while True:
        line = sys.stdin.readline().rstrip("\n")
        body += line
        if len(line) < 64:
            return words, base64.b64decode(body + "=" * (-len(body) % 4))


def write(*words, body=b""):
    text = base64.b64encode(body).decode().rstrip("=")
    lines = [text[at:at + 64] for at in range(0, len(text), 64)]
    if not lines or len(lines[-1]) == 64:
        lines.append("")
    sys.stdout.write("-> " + " ".join(words) + "\n" + "\n".join(lines) + "\n")
    sys.stdout.flush()


def hidden(key):
    return bytes(b ^ 0x55 for b in key)


asked = []
while not asked or asked[-1][0][0] != "done":
    asked.append(read())
if MODE == "recipient-v1":
    keys = [body for words, body in asked if words[0] == "wrap-file-key"]
    for at, key in enumerate(keys):
        write("recipient-stanza", str(at), "stub", body=hidden(key))
        read()
else:
    for words, body in asked:
        if words[0] == "recipient-stanza" and words[2] == "stub":
            if os.path.exists(os.path.join(HERE, "broken")):
                write("error", "identity", "0", body=b"the key was unplugged")
            else:
                write("file-key", words[1], body=hidden(body))
            read()
write("done")
