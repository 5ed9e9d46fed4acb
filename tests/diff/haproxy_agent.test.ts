/**
 * What agents say, in the real haproxy 2.6 and ours (strict-haproxy on): the lines that follow, the states and weights. Agents alone, agents
 * beside checks, what they are sent, agents that are silent, gone, or say nonsense.
 */
import { admin, stat } from "../support/admin.ts";
import { echo, sameLives, type Life, type Scene } from "../support/haproxy_lives.ts";
import { until } from "../support/programs.ts";
import { Target } from "../support/proxy.ts";

/** An agent that says its word to whoever connects, and notes what it is sent. */
class Speaker implements AsyncDisposable {
  word: string;
  heard: string;
  asked: number;
  private target: Target | null;
  constructor() {
    this.word = "";
    this.heard = "";
    this.asked = 0;
    this.target = null;
  }
  async at(port: number): Promise<void> {
    this.target = await Target.start((s) => {
      this.asked++;
      s.on("data", (d) => (this.heard = d.toString("latin1")));
      // What it is sent comes first.
      setTimeout(() => s.end(this.word), 5);
    }, port);
  }
  /** Says this from now on, and waits until it has been heard. */
  async says(scene: Scene, word: string): Promise<void> {
    this.word = word;
    const { asked } = this;
    await until(`${scene.kind} to have asked`, () => this.asked >= asked + 3);
    await view(scene, word);
  }
  async [Symbol.asyncDispose](): Promise<void> {
    await this.target?.stop();
  }
}

async function view(scene: Scene, what: string): Promise<void> {
  const names = ["status", "weight", "uweight", "slim", "act", "agent_status", "agent_code", "agent_desc", "last_agt", "agent_health", "check_health", "chkdown"]; // prettier-ignore
  await until("no question under way", async () => {
    const r = (await stat(scene.sock)).find((x) => x["svname"] === "a")!;
    if (r["agent_status"]!.startsWith("* ") || r["check_status"]!.startsWith("* ")) return false;
    scene.note(`${what}: ${names.map((n) => r[n]).join(" | ")}`);
    return true;
  });
}

const words = (name: string, options: string, list: string[], lines: number): Life => ({
  name,
  config: `frontend f\n bind 127.0.0.1:{port}\n default_backend b\nbackend b\n server a 127.0.0.1:{a} weight 10 agent-check agent-port {dead} agent-inter 150ms ${options}\n server c 127.0.0.1:{a} backup\n`,
  a: echo,
  async run(scene) {
    await using agent = new Speaker();
    agent.word = "up 100%\n";
    await agent.at(scene.dead);
    await agent.says(scene, "up 100%\n");
    for (const w of list) await agent.says(scene, w);
    scene.note(agent.heard);
    await scene.lines(lines);
  },
});

const lives: Life[] = [
  words("down and up, with reasons", "", ["down # broken\n", "up\n", "fail # no space\n", "stopped\n", "up\n", "failed\n"], 4),
  words("administration", "", ["drain\n", "ready\n", "maint\n", "down\n", "ready\n", "up\n"], 4),
  words("weights, slots, both in one", "", ["50%\n", "0%\n", "200%\n", "7%\n", "maxconn:3\n", "up 100% maxconn:9\n"], 0),
  words("nonsense, nothing, an endless line", "", ["what\n", "up,nonsense\n", "", "x".repeat(3000), "150\n", "\n", "up"], 0),
  words("what it is sent", "agent-send hello\\n", ["up\n"], 0),
  words("beside a check", "check inter 150ms", ["down\n", "up\n", "drain\n", "ready 50%\n"], 4),
  {
    name: "an agent that goes away, an administrator that overrules it",
    config: `frontend f\n bind 127.0.0.1:{port}\n default_backend b\nbackend b\n server a 127.0.0.1:{a} weight 10 agent-check agent-port {dead} agent-inter 150ms\n`,
    a: echo,
    async run(scene) {
      {
        await using agent = new Speaker();
        agent.word = "down\n";
        await agent.at(scene.dead);
        await agent.says(scene, "down\n");
      }
      await until("no agent", async () => (await stat(scene.sock)).some((r) => r["svname"] === "a" && r["agent_status"] === "L4CON"));
      await view(scene, "gone");
      for (const line of ["set server b/a agent up", "set server b/a agent down", "disable agent b/a", "set server b/a agent up", "enable agent b/a", "set server b/a agent up"]) {
        scene.note(`${line}: ${await admin(scene.sock, line)}`);
        await until("settled", async () => (await stat(scene.sock)).some((r) => r["svname"] === "a" && /^(L4CON)?$/.test(r["agent_status"]!)));
      } // prettier-ignore
      await scene.lines(2);
    },
  },
];
sameLives(lives);
