// A page that shows a run, as Google's own JavaScript client listens: node listen.cjs HOST PORT PROJECT RUN LINES
// Says "listening" when the first answers are there, and at the end what it has seen, as JSON.
const { initializeApp } = require("firebase/app");
const {
  collection, connectFirestoreEmulator, doc, getFirestore, onSnapshot, orderBy, query, setLogLevel,
} = require("firebase/firestore");

const [host, port, projectId, run, wanted] = process.argv.slice(2);
setLogLevel("error");
const db = getFirestore(initializeApp({ projectId, apiKey: "none" }));
connectFirestoreEmulator(db, host, Number(port), { mockUserToken: { sub: "somebody" } });

const statuses = [], late = [], artifacts = new Set();
let lines = [], answers = 0;
const failed = (error) => { console.error(error.code); process.exit(1); };
const answered = () => { if (++answers === 3) console.log("listening"); };
const look = () => {
  if (lines.length < Number(wanted) || statuses.at(-1) !== "completed" || artifacts.size === 0) return;
  late.sort((a, b) => a - b);
  const [median, p95] = [late[late.length >> 1], late[Math.floor(late.length * 0.95)]];
  console.log(JSON.stringify({ lines, statuses, artifacts: [...artifacts], median, p95 }));
  process.exit(0);
};
onSnapshot(doc(db, "deployments", run), (found) => {
  answered();
  const status = found.data()?.status;
  if (status && status !== statuses.at(-1)) statuses.push(status);
  look();
}, failed);
onSnapshot(query(collection(db, "deployments", run, "logs"), orderBy("timestamp")), (found) => {
  answered();
  for (const change of found.docChanges()) late.push(Date.now() / 1000 - change.doc.data().timestamp.toMillis() / 1000);
  lines = found.docs.map((each) => each.data().message);
  look();
}, failed);
onSnapshot(collection(db, "deployments", run, "artifacts"), (found) => {
  answered();
  for (const each of found.docs) artifacts.add(each.id);
  look();
}, failed);
