/**
 * More endings of sessions, and the options about their lines, in the real haproxy 2.6 and ours (strict-haproxy on): half-closed sides and
 * their time-outs, sessions that an administrator or a better server ends, what is not logged, at which level, in a format of one's own.
 */
import { admin, stat } from "../support/admin.ts";
import { echo, LISTEN, sameLives, type Life, type Scene } from "../support/haproxy_lives.ts";
import { until } from "../support/programs.ts";
import { Peer, Target } from "../support/proxy.ts";

const isUp = (scene: Scene, name: string, status: string): Promise<unknown> =>
  until(`${scene.kind}: ${name} ${status}`, async () =>
    (await stat(scene.sock)).some((r) => r["svname"] === name && r["status"] === status),
  );
/** A server that never ends its side. */
const stubborn = (s: Parameters<typeof echo>[0]): void => void s.on("data", (d) => s.write(d));

async function talk(scene: Scene, text: string): Promise<void> {
  const c = await Peer.to(scene.proxy.port);
  c.send(text);
  await c.has(text);
  c.socket.end();
  await c.isOver();
}

const lives: Life[] = [
  {
    name: "timeout client-fin: a client that has ended, a server that says no more",
    config: `${LISTEN} timeout client-fin 200ms\n timeout server 600ms\n server a 127.0.0.1:{a}\n`,
    a: stubborn,
    async run(scene) {
      const c = await Peer.to(scene.proxy.port);
      c.send("x");
      await c.has("x");
      c.socket.end();
      await scene.lines(1);
    },
  },
  {
    name: "timeout server-fin: the same from the other side",
    config: `${LISTEN} timeout server-fin 200ms\n server a 127.0.0.1:{a}\n`,
    a: stubborn,
    async run(scene) {
      const c = await Peer.to(scene.proxy.port);
      c.send("x");
      await c.has("x");
      c.socket.end();
      await scene.lines(1);
    },
  },
  {
    name: "a server that has ended, a client that does not",
    config: `${LISTEN} timeout client-fin 200ms\n server a 127.0.0.1:{a}\n`,
    a: (s) => void s.once("data", () => s.end("bye")),
    async run(scene) {
      const c = await Peer.to(scene.proxy.port);
      c.send("x");
      await c.has("bye");
      await scene.lines(1);
    },
  },
  {
    name: "half-closed, without time-outs of its own",
    config: `${LISTEN} timeout client 400ms\n timeout server 400ms\n server a 127.0.0.1:{a}\n`,
    a: stubborn,
    async run(scene) {
      const c = await Peer.to(scene.proxy.port);
      c.send("x");
      await c.has("x");
      c.socket.end();
      await scene.lines(1);
    },
  },
  {
    name: "shutdown session, shutdown sessions server",
    config: `${LISTEN} server a 127.0.0.1:{a}\n`,
    a: echo,
    async run(scene) {
      for (const how of ["one", "all"]) {
        const c = await Peer.to(scene.proxy.port);
        c.send("x");
        await c.has("x");
        const id = /^(0x[0-9a-f]+): proto=tcpv4/m.exec(await admin(scene.sock, "show sess"))![1];
        scene.note(await admin(scene.sock, how === "one" ? `shutdown session ${id}` : "shutdown sessions server l/a"));
        await c.isOver();
        await scene.lines(how === "one" ? 1 : 2);
      }
    },
  },
  {
    name: "on-marked-up shutdown-backup-sessions",
    config: `frontend f\n bind 127.0.0.1:{port}\n default_backend b\nbackend b\n server a 127.0.0.1:{dead} check inter 100ms rise 1 fall 1 on-marked-up shutdown-backup-sessions\n server c 127.0.0.1:{a} backup\n`,
    a: echo,
    async run(scene) {
      await isUp(scene, "a", "DOWN");
      const c = await Peer.to(scene.proxy.port);
      c.send("x");
      await c.has("x");
      await using up = await Target.start(echo, scene.dead);
      await c.isOver();
      await isUp(scene, "a", "UP");
      scene.note(up.port === scene.dead);
      await scene.lines(3);
    },
  },
  {
    name: "dontlognull, dontlog-normal, log-separate-errors: levels",
    config: `frontend f\n bind 127.0.0.1:{port}\n no log\n log stdout format priority local0\n option dontlognull\n option dontlog-normal\n option log-separate-errors\n timeout client 300ms\n default_backend b\nbackend b\n no log\n server a 127.0.0.1:{a}\n`,
    a: echo,
    async run(scene) {
      await talk(scene, "nothing of this");
      const nothing = await Peer.to(scene.proxy.port);
      nothing.socket.end();
      await nothing.isOver();
      const idle = await Peer.to(scene.proxy.port);
      idle.send("x");
      await idle.has("x");
      await idle.isOver();
      await scene.lines(1);
    },
  },
  {
    name: "a format of one's own",
    config: `frontend f\n bind 127.0.0.1:{port}\n log-format "%% %{+Q}ci|%fi|%bi|%si|%f|%ft|%b|%s|%sc %rc %sq %bq|%ts|%ac/%fc/%bc|%U/%B|%[src] %[dst] %[fe_name] %[be_name] %{+Q}[src]|%{+E}s|%tsc"\n default_backend b\nbackend b\n server a 127.0.0.1:{a}\n`,
    a: echo,
    async run(scene) {
      await talk(scene, "hello");
      await scene.lines(1);
    },
  },
  {
    name: "retries over three servers with redispatch",
    config: `${LISTEN} retries 3\n option redispatch 1\n timeout connect 200ms\n server a 127.0.0.1:{dead}\n server b 127.0.0.1:{dead}\n server c 127.0.0.1:{a}\n`,
    a: echo,
    async run(scene) {
      await talk(scene, "hello");
      await talk(scene, "again");
      await scene.lines(2);
      scene.note((await stat(scene.sock)).map((r) => ["svname", "stot", "econ", "wretr", "wredis", "lbtot"].map((n) => r[n]).join(" ")));
    },
  },
];
sameLives(lives);
