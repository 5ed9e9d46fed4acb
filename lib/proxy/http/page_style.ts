/** The stats page's style: light and dark by the reader's setting, states by colour and by word, narrow screens first. */
export const PAGE_STYLE = `
:root{color-scheme:light dark;--bg:#f6f7f9;--card:#fff;--ink:#1c2330;--dim:#5d6778;--line:#dde1e8;--up:#1a7f4b;--going:#a66300;--down:#c0262d;--fenced:#8b2fa8;--maint:#6b5b32;--drain:#1763b6;--unchecked:#6c7686}
@media(prefers-color-scheme:dark){:root{--bg:#12151b;--card:#1b2029;--ink:#e6eaf1;--dim:#98a3b5;--line:#2d3440;--up:#4cc38a;--going:#e5a54b;--down:#ff6b70;--fenced:#d18be6;--maint:#c9b37a;--drain:#6fb1ff;--unchecked:#9aa4b4}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--ink);font:15px/1.45 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
header,main,footer{max-width:1400px;margin:0 auto;padding:12px 16px}
h1{font-size:1.3rem;margin:.2em 0}h2{font-size:1.05rem;margin:0 0 .5em}h2 small{color:var(--dim);font-weight:400}
small{display:block;color:var(--dim);font-size:.8rem;font-weight:400}
.facts{display:flex;flex-wrap:wrap;gap:8px 28px;margin:.6em 0}.facts div{margin:0}dt{color:var(--dim);font-size:.8rem}dd{margin:0;font-variant-numeric:tabular-nums}
nav{display:flex;flex-wrap:wrap;gap:6px 18px}a{color:var(--drain)}nav a{padding:4px 0}
section{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:14px 16px;margin:0 0 14px}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{padding:6px 10px;text-align:right;white-space:nowrap;border-top:1px solid var(--line)}
thead th{border-top:0;color:var(--dim);font-weight:500;font-size:.8rem}
th[scope=row],td.state{text-align:left;font-weight:500}
tr.sum{background:color-mix(in srgb,var(--line) 35%,transparent)}
td.state{border-left:4px solid currentColor;white-space:normal;min-width:8.5em}td.state small{display:inline}
.up{color:var(--up)}.going{color:var(--going)}.down{color:var(--down)}.fenced{color:var(--fenced)}.maint{color:var(--maint)}.drain,.nolb{color:var(--drain)}.unchecked,.replica{color:var(--unchecked)}
.spark{width:110px;height:22px;display:block;overflow:visible}.spark polyline{fill:none;stroke:var(--drain);stroke-width:1.5;vector-effect:non-scaling-stroke}
.row{display:flex;flex-wrap:wrap;gap:10px;justify-content:center;list-style:none;margin:0;padding:0}
.node{border:2px solid currentColor;border-radius:10px;padding:8px 14px;min-width:150px;text-align:center}.node b,.node span{color:var(--ink)}.node span{display:block}
.arrow{text-align:center;color:var(--dim);margin:4px 0;font-size:.85rem}.arrow::after{content:" \\2193"}
.told{background:var(--card);border-left:4px solid var(--drain);padding:8px 14px;border-radius:6px}
.act{display:flex;flex-wrap:wrap;gap:8px;align-items:center;margin:.8em 0 0}
select,button,input[type=checkbox]{font:inherit;min-height:32px}input[type=checkbox]{width:20px;height:20px;min-height:0}
footer{color:var(--dim);font-size:.85rem}
.dot{display:inline-block;width:.7em;height:.7em;border-radius:50%;background:currentColor;margin:0 .35em 0 .8em}
@media(max-width:640px){header,main,footer{padding:8px 10px}section{padding:10px}.node{min-width:44%;flex:1}th,td{padding:6px 7px}}
`;
