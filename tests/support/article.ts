/**
 * The article's set as it stands there (two servers, one Sentinel, one proxy), every part the compiled file: its configuration files and its
 * init script with the folders and the four ports exchanged and nothing else. The Sentinel's file keeps the article's two slips, the host name
 * in `monitor` and the argument too many in `parallel-syncs`.
 *
 *   6378 proxy      6379, 6380 servers      26379 Sentinel        are `ports.proxy`, `ports.first`, `ports.second`, `ports.sentinel` here
 */
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cli, freePort, redisha, tempDir } from "./programs.ts";

const HAPROXY = `# Specifies TCP timeout on connect for use by the frontend ft_redis
# Set the max time to wait for a connection attempt to a server to succeed
# The server and client side expected to acknowledge or send data.
defaults REDIS
mode tcp
timeout connect 3s
timeout server 6s
timeout client 6s

# Specifies listening socket for accepting client connections using the default
# REDIS TCP timeout and backend bk_redis TCP health check.
frontend ft_redis
bind *:6378 name redis
default_backend bk_redis

# Specifies the backend Redis proxy server TCP health settings
# Ensure it only forward incoming connections to reach a master.
backend bk_redis
option tcp-check
tcp-check connect
tcp-check send PING\\r\\n
tcp-check expect string +PONG
tcp-check send info\\ replication\\r\\n
tcp-check expect string role:master
tcp-check send QUIT\\r\\n
tcp-check expect string +OK
server redis_6379 localhost:6379 check inter 1s
server redis_6380 localhost:6380 check inter 1s
`;

const SENTINEL = `# Specifies the Sentinel port, log file, and a work directory and run it a daemon service.
port 26379
daemonize yes
pidfile "/var/run/sentinel_26379.pid"
logfile "/var/log/sentinel_26379.log"
dir /var/lib/redis/sentinel_26379
# Monitor redis_6379 master running on port 6379 and consider it in 0DOWN state with at
# least 1 quorum sentinels agree in order to start a failover.
sentinel monitor master01 localhost 6379 1
#sentinel auth-pass myredis mypass
# Specifies the number of milliseconds the master, slave or sentinel should be consider
# down and unreachable in SDOWN state.
sentinel down-after-milliseconds master01 3000
sentinel failover-timeout master01 6000
sentinel parallel-syncs master01 6379 1
`;

/** What EXEC is given after the configuration file; the rest is the article's script word by word. */
const script = (options: string): string => `#!/bin/bash
NAME=\`basename \${0}\`
EXEC=/usr/local/bin/redis-server
PIDFILE="/var/run/\${NAME}.pid"
CONF="/etc/redis/\${NAME}.conf"

PID=\`cat $PIDFILE 2> /dev/null\`
case "$1" in
     start)
         echo "Starting $NAME ..."
         touch $PIDFILE
         exec $EXEC $CONF ${options}--pidfile $PIDFILE
         ;;
     stop)
         echo "Stopping $NAME PID: $PID ..."
         kill $PID
         ;;
     restart)
         echo "Restarting $NAME ..."
         $0 stop
         sleep 2
         $0 start
         ;;
     *)
         echo "Usage $0 {start|stop|restart}"
         ;;
esac
`;

/** Runs, and is not merely a dead daemon that nobody has waited for yet. */
export function alive(pid: number): boolean {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, "latin1"));
  } catch {
    return false;
  }
}

export type Part = "first" | "second" | "sentinel";

export class Article {
  readonly dir: string;
  readonly ports: Record<Part | "proxy", number>;
  proxy: ReturnType<typeof Bun.spawn> | null;

  constructor() {
    this.dir = tempDir("article.");
    const ports = new Set<number>();
    while (ports.size < 4) ports.add(freePort());
    const [proxy, first, second, sentinel] = [...ports];
    this.ports = { proxy, first, second, sentinel };
    this.proxy = null;
    for (const folder of ["etc/redis", "etc/haproxy", "etc/init.d", "var/run", "var/log"])
      mkdirSync(join(this.dir, folder), { recursive: true });
    for (const part of ["first", "second", "sentinel"] as const) {
      const name = this.name(part);
      mkdirSync(join(this.dir, "var/lib/redis", name), { recursive: true });
      writeFileSync(
        this.conf(part),
        this.moved(
          part === "sentinel"
            ? SENTINEL
            : part === "first"
              ? server("redis_6379", "port 6379")
              : server("redis_6380", "port 6380\nslaveof localhost 6379"),
        ),
      );
      writeFileSync(this.script(part), this.moved(script(part === "sentinel" ? "--sentinel " : "")));
      chmodSync(this.script(part), 0o755);
    }
    writeFileSync(join(this.dir, "etc/haproxy/haproxy.cfg"), this.moved(HAPROXY));
  }

  /** The article's name of a part with this test's port: `redis_6379`. */
  name(part: Part): string {
    return `${part === "sentinel" ? "sentinel" : "redis"}_${this.ports[part]}`;
  }
  conf(part: Part): string {
    return join(this.dir, "etc/redis", `${this.name(part)}.conf`);
  }
  script(part: Part): string {
    return join(this.dir, "etc/init.d", this.name(part));
  }
  pidFile(part: Part): string {
    return join(this.dir, "var/run", `${this.name(part)}.pid`);
  }
  workDir(part: Part): string {
    return join(this.dir, "var/lib/redis", this.name(part));
  }
  log(part: Part): string {
    const file = join(this.dir, "var/log", `${this.name(part)}.log`);
    return existsSync(file) ? readFileSync(file, "latin1") : "";
  }
  /** The daemon of the pidfile, 0 when there is none. */
  pid(part: Part): number {
    const text = existsSync(this.pidFile(part)) ? readFileSync(this.pidFile(part), "latin1").trim() : "";
    return /^\d+$/.test(text) && alive(Number(text)) ? Number(text) : 0;
  }

  /** Runs an init script with a verb; what it printed, and its exit code when that is not 0. */
  async service(part: Part, verb: "start" | "stop" | "restart"): Promise<string> {
    const p = Bun.spawn([this.script(part), verb], { cwd: this.dir, stdin: "ignore", stdout: "pipe", stderr: "pipe" });
    const [out, err] = await Promise.all([p.stdout.text(), p.stderr.text()]);
    const code = await p.exited;
    return out + err + (code === 0 ? "" : `exit ${code}\n`);
  }
  startProxy(): void {
    this.proxy = Bun.spawn([redisha, "--proxy", join(this.dir, "etc/haproxy/haproxy.cfg")], {
      cwd: this.dir,
      stdin: "ignore",
      stdout: Bun.file(join(this.dir, "var/log/haproxy.log")),
      stderr: "ignore",
    });
  }

  cli(part: Part | "proxy", ...args: string[]): Promise<string> {
    return cli(this.ports[part], ...args);
  }
  /** INFO replication of a part, or of what stands behind the proxy. */
  async replication(part: Part | "proxy"): Promise<Record<string, string>> {
    const lines = (await this.cli(part, "info", "replication"))
      .trimEnd()
      .split(/\r\n/)
      .filter((l) => l.includes(":"));
    return Object.fromEntries(lines.map((l) => [l.slice(0, l.indexOf(":")), l.slice(l.indexOf(":") + 1)]));
  }
  /** Port of the server that a new connection through the proxy reaches, 0 when none answers. */
  async portThroughProxy(): Promise<number> {
    return Number(/tcp_port:(\d+)/.exec(await this.cli("proxy", "info", "server"))?.[1] ?? 0);
  }

  /** Ends what runs of it and removes its folder. */
  async close(): Promise<void> {
    this.proxy?.kill("SIGKILL");
    await this.proxy?.exited;
    for (const part of ["first", "second", "sentinel"] as const) {
      const pid = this.pid(part);
      if (pid > 0) process.kill(pid, "SIGKILL");
    }
    rmSync(this.dir, { recursive: true, force: true });
  }

  private moved(text: string): string {
    const { proxy, first, second, sentinel } = this.ports;
    const places: Record<string, string> = {
      "/usr/local/bin/redis-server": redisha,
      "/etc/redis/": `${this.dir}/etc/redis/`,
      "/var/": `${this.dir}/var/`,
      "26379": String(sentinel),
      "6378": String(proxy),
      "6379": String(first),
      "6380": String(second),
    };
    return text.replace(/\/usr\/local\/bin\/redis-server|\/etc\/redis\/|\/var\/|26379|6378|6379|6380/g, (found) => places[found]);
  }
}

function server(name: string, lines: string): string {
  const files = `pidfile /var/run/${name}.pid\nlogfile /var/log/${name}.log\ndir /var/lib/redis/${name}\n`;
  return `${lines}\ndaemonize yes\n${files}enable-debug-command local\n`;
}
