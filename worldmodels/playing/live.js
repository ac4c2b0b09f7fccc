// Frames from Python, by a WebSocket. A message is the length of its JSON (4 bytes, the highest first), the JSON, and
// three pictures.
"use strict";

function connect(greet, show, lost) {
  const socket = new WebSocket(`ws://${location.host}/play`);
  socket.binaryType = "arraybuffer";
  socket.onmessage = ({ data }) => {
    if (typeof data === "string") return greet(JSON.parse(data));
    const length = new DataView(data).getUint32(0), facts = new TextDecoder().decode(new Uint8Array(data, 4, length));
    return show(JSON.parse(facts), new Uint8Array(data, 4 + length));
  };
  socket.onclose = ({ reason }) => lost(reason || "the command has ended: start it again and reload this page");
  return (message) => socket.readyState === WebSocket.OPEN && socket.send(JSON.stringify(message));
}
