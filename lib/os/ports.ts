/** Who listens on a port of this machine, from /proc: to tell the user what is in the way. Cold; Linux only, elsewhere nothing is found. */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";

export interface PortHolder {
  pid: number;
  /** Its command line, as ps shows it. */
  command: string;
  /** Its working directory; "" when it may not be read. */
  directory: string;
}

/** Inodes of the sockets that listen on TCP ports: port -> inodes. */
function listeningInodes(): Map<number, Set<string>> {
  const found = new Map<number, Set<string>>();
  for (const table of ["/proc/net/tcp", "/proc/net/tcp6"]) {
    let text = "";
    try {
      text = readFileSync(table, "latin1");
    } catch {
      continue;
    }
    for (const line of text.split("\n").slice(1)) {
      const words = line.trim().split(/\s+/);
      // sl, local address, remote address, state (0A: listening), queues, timer, retransmits, uid, timeout, inode
      if (words[3] !== "0A") continue;
      const port = parseInt(words[1]!.slice(words[1]!.lastIndexOf(":") + 1), 16);
      let inodes = found.get(port);
      if (inodes === undefined) found.set(port, (inodes = new Set()));
      inodes.add(words[9]!);
    }
  }
  return found;
}

function describe(pid: number): PortHolder {
  let command = "";
  let directory = "";
  try {
    command = readFileSync(`/proc/${pid}/cmdline`, "utf8").replace(/\0+$/, "").replaceAll("\0", " ");
    directory = readlinkSync(`/proc/${pid}/cwd`);
  } catch {
    // it has ended meanwhile, or is another user's
  }
  return { pid, command, directory };
}

/** The process that listens on each of `ports`; those that nobody holds, or only other users' processes, are missing. */
export function portHolders(ports: readonly number[]): Map<number, PortHolder> {
  const holders = new Map<number, PortHolder>();
  const listening = listeningInodes();
  const wanted = new Map<string, number>();
  for (const port of ports) for (const inode of listening.get(port) ?? []) wanted.set(`socket:[${inode}]`, port);
  if (wanted.size === 0) return holders;
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    let descriptors: string[] = [];
    try {
      descriptors = readdirSync(`/proc/${name}/fd`);
    } catch {
      continue;
    }
    for (const fd of descriptors) {
      try {
        const port = wanted.get(readlinkSync(`/proc/${name}/fd/${fd}`));
        if (port !== undefined && !holders.has(port)) holders.set(port, describe(Number(name)));
      } catch {
        // closed meanwhile
      }
    }
  }
  return holders;
}
