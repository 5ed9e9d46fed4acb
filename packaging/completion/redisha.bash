# bash completion for redisha
_redisha() {
  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} mode=${COMP_WORDS[1]}
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ]; then
    case $cur in
      -*) COMPREPLY=($(compgen -W "--sentinel --proxy --stack --cli --status --check --doctor --version --help" -- "$cur")) ;;
      *) compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -f -- "$cur")) ;;
    esac
    return
  fi
  local words=
  case $mode in
    --stack) words="--dir --replicas --sentinels --base-port --help" ;;
    --status) words="--watch --json --user --pass --sentinel-pass --tls --cacert --insecure --timeout --page --admin --help" ;;
    --check | --doctor) words="--json --help" ;;
    --proxy) words="-f -D -W -Ws -p -sf -st -c -q -db -n -S -v -vv" ;;
    --cli) words="-h -p -s -a -u -n -r -i -x -X -2 -3 -c -d -D -e --user --pass --askpass --sentinel --raw --no-raw --csv --json --quoted-json --stat --latency --latency-history --latency-dist --intrinsic-latency --scan --pattern --quoted-pattern --bigkeys --memkeys --memkeys-samples --hotkeys --pipe --pipe-timeout --rdb --functions-rdb --replica --eval --tls --cacert --cert --key --sni --insecure --help --version" ;;
  esac
  case $cur in
    -*) COMPREPLY=($(compgen -W "$words" -- "$cur")) ;;
    *) compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -f -- "$cur")) ;;
  esac
}
complete -F _redisha redisha
