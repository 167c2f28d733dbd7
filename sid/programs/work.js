// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
// Node: threads, children with descriptors of their own, signals.
const { spawnSync } = require('child_process');
const { Worker } = require('worker_threads');
const fs = require('fs');
const zlib = require('zlib');

function burn(milliseconds) {
    const from = process.cpuUsage().user;
    let n = 0;
    while (process.cpuUsage().user - from < milliseconds * 1000)
        n += Math.sqrt(n);
}

const list = fs.openSync('list', 'w');
const run = spawnSync('sh', ['-c', 'echo three >&3; kill -TRAP $$'], { stdio: ['ignore', 'pipe', 'pipe', list] });
console.log(run.status, run.signal, String(run.stdout), String(run.stderr), fs.readFileSync('list', 'utf8'));
burn(50);
const data = Buffer.alloc(1 << 20, 'some text ');
zlib.gzip(data, (error, packed) => console.log(error, zlib.gunzipSync(packed).equals(data)));
const worker = new Worker(`
    const { parentPort } = require('worker_threads');
    let n = 0;
    for (let i = 0; i < 5e6; i++) n += i % 7;
    parentPort.postMessage(n);`, { eval: true });
worker.on('message', (n) => {
    console.log(n);
    process.on('SIGTRAP', () => {
        console.log('caught');
        process.exit(5);
    });
    process.kill(process.pid, 'SIGTRAP');
    setTimeout(() => {}, 5000);
});
