import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'

/** A call of a scripted plugin. */
export interface PluginCall {
  readonly command: string
  readonly type: string
  readonly namespace: string
  readonly config: Readonly<Record<string, unknown>>
}

/**
 * A CNI plugin that touches no network. It notes each call, and does what its configuration says: `"fail":"ADD"` or
 * `"fail":"DEL"` refuses, and `"wait":FILE` opens that FIFO for reading on ADD, which lasts until somebody writes to it.
 */
const SCRIPT = `#!/bin/sh
input=$(cat)
here=\${0%/*}
n=$(mktemp "$here/calls/XXXXXX")
printf '%s %s %s\\n%s\\n' "$CNI_COMMAND" "\${0##*/}" "\${CNI_NETNS:--}" "$input" >"$n"
mv "$n" "$here/calls/$(date +%s%N)"
case $input in
*'"fail":"'$CNI_COMMAND'"'*) echo '{"code":11,"msg":"no addresses are left"}'; exit 1 ;;
*'"wait":"'*) [ "$CNI_COMMAND" = ADD ] && read -r _ <"$(printf %s "$input" | sed 's/.*"wait":"\\([^"]*\\)".*/\\1/')" ;;
esac
[ "$CNI_COMMAND" = DEL ] || printf '{"cniVersion":"1.0.0","ips":[{"address":"10.9.0.%s/24"}],"by":"%s"}' 5 "\${0##*/}"
`

/** A directory of scripted plugins, and what they noted. */
export class ScriptedPlugins {
  readonly directory: string

  constructor(work: string, ...types: readonly string[]) {
    this.directory = fs.mkdtempSync(path.join(work, 'plugins-'))
    fs.mkdirSync(path.join(this.directory, 'calls'))
    for (const type of types) fs.writeFileSync(path.join(this.directory, type), SCRIPT, { mode: 0o755 })
  }

  /** A FIFO for `wait`. */
  fifo(name: string): string {
    const file = path.join(this.directory, name)
    execFileSync('mkfifo', [file])
    return file
  }

  /** In the order that they were made. */
  calls(): PluginCall[] {
    const directory = path.join(this.directory, 'calls')
    const names = fs.readdirSync(directory).filter((name) => /^[0-9]+$/.test(name))
    return names.sort().map((name) => {
      const text = fs.readFileSync(path.join(directory, name), 'utf8')
      const [head = '', ...rest] = text.split('\n')
      const [command = '', type = '', namespace = ''] = head.split(' ')
      return { command, type, namespace, config: JSON.parse(rest.join('\n')) as Record<string, unknown> }
    })
  }
}
