BEGIN TRANSACTION;
CREATE TABLE remediate_entry (
	change VARCHAR(63) NOT NULL, 
	seq INTEGER NOT NULL, 
	at VARCHAR(40) NOT NULL, 
	kind VARCHAR(64) NOT NULL, 
	body TEXT NOT NULL, 
	previous VARCHAR(64) NOT NULL, 
	hash VARCHAR(64) NOT NULL, 
	PRIMARY KEY (change, seq)
);
INSERT INTO "remediate_entry" VALUES('20260301-091500-1a2b',1,'2026-03-01T09:16:00.000000+00:00','planned','{"operator":"Zoë","plan_sha256":"abababababababababababababababababababababababababababababababab","scope":"…"}','0000000000000000000000000000000000000000000000000000000000000000','0d967db4fb5680bea10f3bb555c1a4f7310d7202d2e3e308e37e10d9e665c8ea');
INSERT INTO "remediate_entry" VALUES('20260301-091500-1a2b',2,'2026-03-01T09:17:00.000000+00:00','pushing','{"device":"fw-north","text":"it''s \\ \"quoted\"\n\ttwo lines; -- no comment"}','0d967db4fb5680bea10f3bb555c1a4f7310d7202d2e3e308e37e10d9e665c8ea','cafb6490b364c52741cd29e4c016bb4ae3aa3d0141bb6bfaa991d92d5e5be573');
INSERT INTO "remediate_entry" VALUES('20260301-091500-1a2b',3,'2026-03-01T09:18:00.000000+00:00','ended','{"exit_status":0}','cafb6490b364c52741cd29e4c016bb4ae3aa3d0141bb6bfaa991d92d5e5be573','7ccba7c5f7cd622d178540fbd48ebc9bb168287d363f7fd59f0cc16cb7f0eccb');
INSERT INTO "remediate_entry" VALUES('20260301-100000-3c4d',1,'2026-03-01T09:20:00.000000+00:00','planned','{"operator":"Zoë","plan_sha256":"abababababababababababababababababababababababababababababababab","scope":"…"}','0000000000000000000000000000000000000000000000000000000000000000','447f908f79d763f812179ef8069fb6242f9ad11d55069d7a0c0329e75f34aac3');
INSERT INTO "remediate_entry" VALUES('20260301-100000-3c4d',2,'2026-03-01T09:21:00.000000+00:00','pushing','{"device":"fw-north","text":"it''s \\ \"quoted\"\n\ttwo lines; -- no comment"}','447f908f79d763f812179ef8069fb6242f9ad11d55069d7a0c0329e75f34aac3','c1ba909b8280535e300ec2b5d9bfe17964253593a470f1e7e43d4b652148abb0');
INSERT INTO "remediate_entry" VALUES('20260301-100000-3c4d',3,'2026-03-01T09:22:00.000000+00:00','ended','{"exit_status":0}','c1ba909b8280535e300ec2b5d9bfe17964253593a470f1e7e43d4b652148abb0','bb87c059e69e573236c667438ec8ab6787082e72dae9529f3f187c797ab7e2ef');
INSERT INTO "remediate_entry" VALUES('20260301-110000-5e6f',1,'2026-03-01T09:25:00.000000+00:00','planned','{"plan_sha256":"cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd"}','0000000000000000000000000000000000000000000000000000000000000000','e0536b295487fcc0a1b4d00e5e721d5f410db844fe83f333418c54086233669a');
INSERT INTO "remediate_entry" VALUES('20260301-110000-5e6f',2,'2026-03-01T09:26:00.000000+00:00','pushing','{"device":"fw-south","token":"5e6f-1"}','e0536b295487fcc0a1b4d00e5e721d5f410db844fe83f333418c54086233669a','106e3fec82867f4bb8949189fbda41cb3ef3c6c5bb2585534f056319f285b4fa');
CREATE TABLE remediate_head (
	change VARCHAR(63) NOT NULL, 
	begun_at VARCHAR(40) NOT NULL, 
	seq INTEGER NOT NULL, 
	hash VARCHAR(64) NOT NULL, 
	PRIMARY KEY (change)
);
INSERT INTO "remediate_head" VALUES('20260301-091500-1a2b','2026-03-01T09:16:00.000000+00:00',3,'7ccba7c5f7cd622d178540fbd48ebc9bb168287d363f7fd59f0cc16cb7f0eccb');
INSERT INTO "remediate_head" VALUES('20260301-100000-3c4d','2026-03-01T09:20:00.000000+00:00',3,'bb87c059e69e573236c667438ec8ab6787082e72dae9529f3f187c797ab7e2ef');
INSERT INTO "remediate_head" VALUES('20260301-110000-5e6f','2026-03-01T09:25:00.000000+00:00',2,'106e3fec82867f4bb8949189fbda41cb3ef3c6c5bb2585534f056319f285b4fa');
CREATE TABLE remediate_lock (
	resource VARCHAR(255) NOT NULL, 
	fence BIGINT NOT NULL, 
	change VARCHAR(63), 
	host VARCHAR(255), 
	boot_id VARCHAR(64), 
	pid_namespace VARCHAR(64), 
	pid BIGINT, 
	started BIGINT, 
	since VARCHAR(40), 
	PRIMARY KEY (resource)
);
INSERT INTO "remediate_lock" VALUES('fw-north',2,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "remediate_lock" VALUES('fw-south',1,'20260301-110000-5e6f','operator-1.example','7d3c1e52-0a4b-4f7e-9c11-2f6f0a5b8e90','pid:[4026531836]',4711,123456,'2026-03-01T09:23:00.000000+00:00');
INSERT INTO "remediate_lock" VALUES('host-key SHA256:AAAA',1,'20260301-110000-5e6f','operator-1.example','7d3c1e52-0a4b-4f7e-9c11-2f6f0a5b8e90','pid:[4026531836]',4711,123456,'2026-03-01T09:24:00.000000+00:00');
CREATE TABLE remediate_schema (
	version INTEGER NOT NULL
);
INSERT INTO "remediate_schema" VALUES(1);
COMMIT;
