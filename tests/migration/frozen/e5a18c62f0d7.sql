BEGIN TRANSACTION;
CREATE TABLE adapters (
	"key" VARCHAR(64) NOT NULL, 
	state VARCHAR NOT NULL, 
	backbone_digest VARCHAR(64) NOT NULL, 
	task VARCHAR NOT NULL, 
	task_digest VARCHAR(64) NOT NULL, 
	method VARCHAR NOT NULL, 
	settings JSON NOT NULL, 
	seed BIGINT NOT NULL, 
	metric VARCHAR NOT NULL, 
	metric_value FLOAT, 
	epochs INTEGER, 
	best_epoch INTEGER, 
	blob VARCHAR(64) NOT NULL, 
	blob_bytes BIGINT NOT NULL, 
	n_parameters BIGINT, 
	head_parameters BIGINT, 
	seconds FLOAT, 
	train_rows BIGINT, 
	device VARCHAR, 
	run_id VARCHAR, 
	created_at DATETIME NOT NULL, device_name VARCHAR, adapterlab_version VARCHAR, git_commit VARCHAR, python_version VARCHAR, torch_version VARCHAR, transformers_version VARCHAR, origin JSON, n_metrics INTEGER, 
	CONSTRAINT pk_adapters PRIMARY KEY ("key"), 
	CONSTRAINT fk_adapters_backbone_digest FOREIGN KEY(backbone_digest) REFERENCES backbones (digest), 
	CONSTRAINT fk_adapters_task_task_digest FOREIGN KEY(task, task_digest) REFERENCES tasks (name, digest)
);
INSERT INTO "adapters" VALUES('ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb','complete','b2e78e3a5bb1d60df728818ea576deafd6ba9b428fefe13794e012f226516dad','glue/rte','e06673bc032fea2a4da923cccb94158f25ff5a452d77970dd22edf6cc07590c8','pfeiffer','{"lr": 0.0003, "reduction_factor": 16}',0,'accuracy',0.7,5,3,'ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb',1,1000,NULL,20.0,400,'cpu',NULL,'2026-11-21 12:00:00.000000','AMD EPYC','0.1.0','9505cacb7c710ed17125fcc6cb3669e8ddca6c8c','3.12.4','2.9.0+cpu',NULL,NULL,3);
INSERT INTO "adapters" VALUES('3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d','complete','b2e78e3a5bb1d60df728818ea576deafd6ba9b428fefe13794e012f226516dad','glue/cola','3c5b9765d7f2f8390549f2b38cc0bd3aae07566dd38ca771482985676f957758','pfeiffer','{"lr": 0.0003, "reduction_factor": 16}',0,'matthews',NULL,5,3,'3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d',1,1000,NULL,20.0,400,'cpu',NULL,'2026-11-21 12:00:00.000000','AMD EPYC','0.1.0','9505cacb7c710ed17125fcc6cb3669e8ddca6c8c','3.12.4','2.9.0+cpu',NULL,NULL,1);
INSERT INTO "adapters" VALUES('6a3d27abd39664158ebd39f12c97633f089bb5f52b641aabfa1e9ed87903606b','complete','b2e78e3a5bb1d60df728818ea576deafd6ba9b428fefe13794e012f226516dad','glue/rte','dda75378e818952c07cdc323968b88627a7232bc4c6e11bd0cb58b11d1ccfc40','pfeiffer','{"lr": 0.0003, "reduction_factor": 16}',0,'accuracy',0.7,5,3,'6a3d27abd39664158ebd39f12c97633f089bb5f52b641aabfa1e9ed87903606b',10,1000,NULL,20.0,400,'cpu',NULL,'2026-11-21 12:00:00.000000','AMD EPYC','0.1.0','9505cacb7c710ed17125fcc6cb3669e8ddca6c8c','3.12.4','2.9.0+cpu',NULL,NULL,2);
INSERT INTO "adapters" VALUES('51e1ed7ced7d378d8644181f7933218e6f1388f4ee729f3e28b9c55c997f8388','complete','b2e78e3a5bb1d60df728818ea576deafd6ba9b428fefe13794e012f226516dad','glue/cola','070f088b0fa81465bf5c06a700ed1a8f4bd40495d46ef1827d42e9ef03af752f','pfeiffer','{"lr": 0.0003, "reduction_factor": 16}',0,'accuracy',0.7,5,3,'51e1ed7ced7d378d8644181f7933218e6f1388f4ee729f3e28b9c55c997f8388',11,1000,NULL,20.0,400,'cpu',NULL,'2026-11-21 12:00:00.000000','AMD EPYC','0.1.0','9505cacb7c710ed17125fcc6cb3669e8ddca6c8c','3.12.4','2.9.0+cpu',NULL,NULL,2);
CREATE TABLE annotations (
	"key" VARCHAR(64) NOT NULL, 
	name VARCHAR, 
	note VARCHAR, 
	tags JSON NOT NULL, 
	updated_at DATETIME NOT NULL, 
	CONSTRAINT pk_annotations PRIMARY KEY ("key")
);
CREATE TABLE backbones (
	digest VARCHAR(64) NOT NULL, 
	source VARCHAR, 
	architecture VARCHAR, 
	layers INTEGER, 
	hidden_size INTEGER, 
	tokenizer_digest VARCHAR(64), 
	config_digest VARCHAR(64), 
	created_at DATETIME NOT NULL, 
	CONSTRAINT pk_backbones PRIMARY KEY (digest)
);
INSERT INTO "backbones" VALUES('b2e78e3a5bb1d60df728818ea576deafd6ba9b428fefe13794e012f226516dad','package:mini','bert',6,384,'5f97e3774c51edd1d63706c2ec3826c564a067794770cdab0f8c4797971cacf9','b79606fb3afea5bd1609ed40b622142f1c98125abcfe89a76a661b0e8e343910','2026-11-29 17:09:15.213015');
CREATE TABLE catalog_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT catalog_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "catalog_version" VALUES('e5a18c62f0d7');
CREATE TABLE claims (
	step_key VARCHAR(64) NOT NULL, 
	owner VARCHAR, 
	token BIGINT NOT NULL, 
	acquired_at FLOAT NOT NULL, 
	expires_at FLOAT NOT NULL, 
	CONSTRAINT pk_claims PRIMARY KEY (step_key)
);
INSERT INTO "claims" VALUES('ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb',NULL,1,1.79597215522299265863e+09,0.0);
INSERT INTO "claims" VALUES('3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d',NULL,1,1.7959721552379994393e+09,0.0);
INSERT INTO "claims" VALUES('189f40034be7a199f1fa9891668ee3ab6049f82d38c68be70f596eab2e1857b7',NULL,1,1.79597215524801754951e+09,0.0);
INSERT INTO "claims" VALUES('51e1ed7ced7d378d8644181f7933218e6f1388f4ee729f3e28b9c55c997f8388',NULL,1,1.79597215524801754951e+09,0.0);
INSERT INTO "claims" VALUES('6a3d27abd39664158ebd39f12c97633f089bb5f52b641aabfa1e9ed87903606b',NULL,1,1.79597215524801754951e+09,0.0);
INSERT INTO "claims" VALUES('043a718774c572bd8a25adbeb1bfcd5c0256ae11cecf9f9c3f925d0e52beaf89',NULL,1,1.79597215526901936525e+09,0.0);
INSERT INTO "claims" VALUES('e3b98a4da31a127d4bde6e43033f66ba274cab0eb7eb1c70ec41402bf6273dd8',NULL,1,1.79597215527698540683e+09,0.0);
INSERT INTO "claims" VALUES('2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881',NULL,1,1.79597215528800940517e+09,0.0);
INSERT INTO "claims" VALUES('a1fce4363854ff888cff4b8e7875d600c2682390412a8cf79b37d0b11148b0fa',NULL,1,1.7959721552950098514e+09,0.0);
INSERT INTO "claims" VALUES('5d28a90f4498a81461efbaf6f628a19d9778390bb5c81a393dd936181cc3d826',NULL,1,1.79597215530398178102e+09,0.0);
INSERT INTO "claims" VALUES('c20dea4d876b5b8fb0a1814b43017030cea6d4ac30b2d9ae71b404d2faba49b5','someone',1,1.79597215530398178102e+09,1.0);
CREATE TABLE coefficients (
	transfer_key VARCHAR(64) NOT NULL, 
	layer INTEGER NOT NULL, 
	position INTEGER NOT NULL, 
	adapter_key VARCHAR(64) NOT NULL, 
	source_task VARCHAR NOT NULL, 
	mean FLOAT, 
	std FLOAT, 
	minimum FLOAT, 
	maximum FLOAT, 
	CONSTRAINT pk_coefficients PRIMARY KEY (transfer_key, layer, position), 
	CONSTRAINT fk_coefficients_transfer_key FOREIGN KEY(transfer_key) REFERENCES transfers ("key")
);
INSERT INTO "coefficients" VALUES('e3b98a4da31a127d4bde6e43033f66ba274cab0eb7eb1c70ec41402bf6273dd8',0,0,'3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d','glue/rte',0.5,0.1,0.2,0.9);
INSERT INTO "coefficients" VALUES('e3b98a4da31a127d4bde6e43033f66ba274cab0eb7eb1c70ec41402bf6273dd8',0,1,'ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb','glue/rte',0.5,0.1,0.2,0.9);
INSERT INTO "coefficients" VALUES('e3b98a4da31a127d4bde6e43033f66ba274cab0eb7eb1c70ec41402bf6273dd8',1,0,'3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d','glue/rte',1.5,0.1,0.2,0.9);
INSERT INTO "coefficients" VALUES('e3b98a4da31a127d4bde6e43033f66ba274cab0eb7eb1c70ec41402bf6273dd8',1,1,'ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb','glue/rte',1.5,0.1,0.2,0.9);
CREATE TABLE joint_runs (
	"key" VARCHAR(64) NOT NULL, 
	state VARCHAR NOT NULL, 
	backbone_digest VARCHAR(64) NOT NULL, 
	method VARCHAR NOT NULL, 
	settings JSON NOT NULL, 
	shares JSON NOT NULL, 
	seed BIGINT NOT NULL, 
	metric VARCHAR NOT NULL, 
	value FLOAT, 
	steps BIGINT, 
	best_step BIGINT, 
	blob VARCHAR(64) NOT NULL, 
	blob_bytes BIGINT NOT NULL, 
	n_parameters BIGINT, 
	head_parameters BIGINT, 
	seconds FLOAT, 
	train_rows BIGINT, 
	device VARCHAR, 
	device_name VARCHAR, 
	adapterlab_version VARCHAR, 
	git_commit VARCHAR, 
	python_version VARCHAR, 
	torch_version VARCHAR, 
	transformers_version VARCHAR, 
	run_id VARCHAR, 
	created_at DATETIME NOT NULL, 
	CONSTRAINT pk_joint_runs PRIMARY KEY ("key"), 
	CONSTRAINT fk_joint_runs_backbone_digest FOREIGN KEY(backbone_digest) REFERENCES backbones (digest)
);
INSERT INTO "joint_runs" VALUES('189f40034be7a199f1fa9891668ee3ab6049f82d38c68be70f596eab2e1857b7','complete','b2e78e3a5bb1d60df728818ea576deafd6ba9b428fefe13794e012f226516dad','adapter_m','{"joint": {"reduction_factor": 16}, "training": {"lr": 0.0003}}','[{"key": "6a3d27abd39664158ebd39f12c97633f089bb5f52b641aabfa1e9ed87903606b", "task": "glue/rte", "task_digest": "dda75378e818952c07cdc323968b88627a7232bc4c6e11bd0cb58b11d1ccfc40"}, {"key": "51e1ed7ced7d378d8644181f7933218e6f1388f4ee729f3e28b9c55c997f8388", "task": "glue/cola", "task_digest": "070f088b0fa81465bf5c06a700ed1a8f4bd40495d46ef1827d42e9ef03af752f"}]',0,'loss',0.7,20,10,'189f40034be7a199f1fa9891668ee3ab6049f82d38c68be70f596eab2e1857b7',1,1000,60,20.0,640,'cpu','AMD EPYC','0.1.0','9505cacb7c710ed17125fcc6cb3669e8ddca6c8c','3.12.4','2.9.0+cpu',NULL,NULL,'2026-11-21 12:00:00.000000');
CREATE TABLE lineage (
	child VARCHAR(64) NOT NULL, 
	position INTEGER NOT NULL, 
	parent VARCHAR(64) NOT NULL, 
	child_kind VARCHAR NOT NULL, 
	parent_kind VARCHAR NOT NULL, 
	CONSTRAINT pk_lineage PRIMARY KEY (child, position)
);
INSERT INTO "lineage" VALUES('6a3d27abd39664158ebd39f12c97633f089bb5f52b641aabfa1e9ed87903606b',0,'189f40034be7a199f1fa9891668ee3ab6049f82d38c68be70f596eab2e1857b7','source','joint');
INSERT INTO "lineage" VALUES('51e1ed7ced7d378d8644181f7933218e6f1388f4ee729f3e28b9c55c997f8388',0,'189f40034be7a199f1fa9891668ee3ab6049f82d38c68be70f596eab2e1857b7','source','joint');
INSERT INTO "lineage" VALUES('043a718774c572bd8a25adbeb1bfcd5c0256ae11cecf9f9c3f925d0e52beaf89',0,'3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d','study','source');
INSERT INTO "lineage" VALUES('043a718774c572bd8a25adbeb1bfcd5c0256ae11cecf9f9c3f925d0e52beaf89',1,'ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb','study','source');
INSERT INTO "lineage" VALUES('e3b98a4da31a127d4bde6e43033f66ba274cab0eb7eb1c70ec41402bf6273dd8',0,'043a718774c572bd8a25adbeb1bfcd5c0256ae11cecf9f9c3f925d0e52beaf89','transfer','study');
INSERT INTO "lineage" VALUES('2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881',0,'ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb','selection','source');
INSERT INTO "lineage" VALUES('2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881',1,'3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d','selection','source');
INSERT INTO "lineage" VALUES('a1fce4363854ff888cff4b8e7875d600c2682390412a8cf79b37d0b11148b0fa',0,'ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb','study','source');
INSERT INTO "lineage" VALUES('a1fce4363854ff888cff4b8e7875d600c2682390412a8cf79b37d0b11148b0fa',1,'2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881','study','selection');
CREATE TABLE metrics (
	"key" VARCHAR(64) NOT NULL, 
	split VARCHAR NOT NULL, 
	name VARCHAR NOT NULL, 
	kind VARCHAR NOT NULL, 
	task VARCHAR NOT NULL, 
	backbone_digest VARCHAR(64) NOT NULL, 
	method VARCHAR NOT NULL, 
	value FLOAT, 
	CONSTRAINT pk_metrics PRIMARY KEY ("key", split, name)
);
INSERT INTO "metrics" VALUES('ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb','validation','accuracy','source','glue/rte','b2e78e3a5bb1d60df728818ea576deafd6ba9b428fefe13794e012f226516dad','pfeiffer',0.7);
INSERT INTO "metrics" VALUES('ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb','validation','f1','source','glue/rte','b2e78e3a5bb1d60df728818ea576deafd6ba9b428fefe13794e012f226516dad','pfeiffer',0.65);
INSERT INTO "metrics" VALUES('ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb','test','accuracy','source','glue/rte','b2e78e3a5bb1d60df728818ea576deafd6ba9b428fefe13794e012f226516dad','pfeiffer',0.69);
INSERT INTO "metrics" VALUES('3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d','validation','matthews','source','glue/cola','b2e78e3a5bb1d60df728818ea576deafd6ba9b428fefe13794e012f226516dad','pfeiffer',NULL);
INSERT INTO "metrics" VALUES('6a3d27abd39664158ebd39f12c97633f089bb5f52b641aabfa1e9ed87903606b','validation','accuracy','source','glue/rte','b2e78e3a5bb1d60df728818ea576deafd6ba9b428fefe13794e012f226516dad','pfeiffer',0.7);
INSERT INTO "metrics" VALUES('6a3d27abd39664158ebd39f12c97633f089bb5f52b641aabfa1e9ed87903606b','validation','f1','source','glue/rte','b2e78e3a5bb1d60df728818ea576deafd6ba9b428fefe13794e012f226516dad','pfeiffer',0.65);
INSERT INTO "metrics" VALUES('51e1ed7ced7d378d8644181f7933218e6f1388f4ee729f3e28b9c55c997f8388','validation','accuracy','source','glue/cola','b2e78e3a5bb1d60df728818ea576deafd6ba9b428fefe13794e012f226516dad','pfeiffer',0.7);
INSERT INTO "metrics" VALUES('51e1ed7ced7d378d8644181f7933218e6f1388f4ee729f3e28b9c55c997f8388','validation','f1','source','glue/cola','b2e78e3a5bb1d60df728818ea576deafd6ba9b428fefe13794e012f226516dad','pfeiffer',0.65);
INSERT INTO "metrics" VALUES('e3b98a4da31a127d4bde6e43033f66ba274cab0eb7eb1c70ec41402bf6273dd8','validation','accuracy','transfer','glue/cb','b2e78e3a5bb1d60df728818ea576deafd6ba9b428fefe13794e012f226516dad','scalearn',0.8);
INSERT INTO "metrics" VALUES('e3b98a4da31a127d4bde6e43033f66ba274cab0eb7eb1c70ec41402bf6273dd8','test','accuracy','transfer','glue/cb','b2e78e3a5bb1d60df728818ea576deafd6ba9b428fefe13794e012f226516dad','scalearn',0.75);
INSERT INTO "metrics" VALUES('e3b98a4da31a127d4bde6e43033f66ba274cab0eb7eb1c70ec41402bf6273dd8','test','f1','transfer','glue/cb','b2e78e3a5bb1d60df728818ea576deafd6ba9b428fefe13794e012f226516dad','scalearn',0.5);
CREATE TABLE progress (
	step_key VARCHAR(64) NOT NULL, 
	state VARCHAR NOT NULL, 
	done BIGINT NOT NULL, 
	total BIGINT, 
	detail VARCHAR, 
	reason VARCHAR, 
	updated_at FLOAT NOT NULL, 
	CONSTRAINT pk_progress PRIMARY KEY (step_key)
);
INSERT INTO "progress" VALUES('ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb','complete',0,NULL,NULL,NULL,1.79597215523498201367e+09);
INSERT INTO "progress" VALUES('3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d','complete',0,NULL,NULL,NULL,1.79597215524399423597e+09);
INSERT INTO "progress" VALUES('189f40034be7a199f1fa9891668ee3ab6049f82d38c68be70f596eab2e1857b7','complete',0,NULL,NULL,NULL,1.79597215526600170135e+09);
INSERT INTO "progress" VALUES('51e1ed7ced7d378d8644181f7933218e6f1388f4ee729f3e28b9c55c997f8388','complete',0,NULL,NULL,NULL,1.79597215526600170135e+09);
INSERT INTO "progress" VALUES('6a3d27abd39664158ebd39f12c97633f089bb5f52b641aabfa1e9ed87903606b','complete',0,NULL,NULL,NULL,1.7959721552620186805e+09);
INSERT INTO "progress" VALUES('043a718774c572bd8a25adbeb1bfcd5c0256ae11cecf9f9c3f925d0e52beaf89','complete',0,NULL,NULL,NULL,1.79597215527501392366e+09);
INSERT INTO "progress" VALUES('e3b98a4da31a127d4bde6e43033f66ba274cab0eb7eb1c70ec41402bf6273dd8','complete',0,NULL,NULL,NULL,1.7959721552859976291e+09);
INSERT INTO "progress" VALUES('2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881','complete',0,NULL,NULL,NULL,1.79597215529299831385e+09);
INSERT INTO "progress" VALUES('a1fce4363854ff888cff4b8e7875d600c2682390412a8cf79b37d0b11148b0fa','complete',0,NULL,NULL,NULL,1.79597215530100464816e+09);
INSERT INTO "progress" VALUES('5d28a90f4498a81461efbaf6f628a19d9778390bb5c81a393dd936181cc3d826','failed',0,NULL,NULL,'loss is NaN',1.79597215530699944496e+09);
INSERT INTO "progress" VALUES('c20dea4d876b5b8fb0a1814b43017030cea6d4ac30b2d9ae71b404d2faba49b5','running',0,NULL,NULL,NULL,1.79597215530599355701e+09);
CREATE TABLE selections (
	"key" VARCHAR(64) NOT NULL, 
	state VARCHAR NOT NULL, 
	backbone_digest VARCHAR(64) NOT NULL, 
	task VARCHAR NOT NULL, 
	task_digest VARCHAR(64) NOT NULL, 
	rule VARCHAR NOT NULL, 
	settings JSON NOT NULL, 
	sources JSON NOT NULL, 
	metric VARCHAR NOT NULL, 
	value FLOAT, 
	seconds FLOAT, 
	train_rows BIGINT, 
	run_id VARCHAR, 
	created_at DATETIME NOT NULL, 
	CONSTRAINT pk_selections PRIMARY KEY ("key"), 
	CONSTRAINT fk_selections_backbone_digest FOREIGN KEY(backbone_digest) REFERENCES backbones (digest), 
	CONSTRAINT fk_selections_task_task_digest FOREIGN KEY(task, task_digest) REFERENCES tasks (name, digest)
);
INSERT INTO "selections" VALUES('2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881','complete','b2e78e3a5bb1d60df728818ea576deafd6ba9b428fefe13794e012f226516dad','glue/cb','0beff02f2b055b43b26beea4dbc7ccf927efb12714ce589094f96101a89e3751','adapter_similarity','{}','[{"key": "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb", "score": 0.9, "task": "glue/rte"}, {"key": "3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d", "score": 0.8, "task": "glue/rte"}]','cosine',0.9,1.5,0,NULL,'2026-11-21 12:00:00.000000');
CREATE TABLE "studies" (
	"key" VARCHAR(64) NOT NULL, 
	state VARCHAR NOT NULL, 
	backbone_digest VARCHAR(64) NOT NULL, 
	task VARCHAR, 
	task_digest VARCHAR(64), 
	combiner VARCHAR NOT NULL, 
	settings JSON NOT NULL, 
	pool JSON NOT NULL, 
	metric VARCHAR NOT NULL, 
	best_trial INTEGER, 
	best_value FLOAT, 
	best_settings JSON NOT NULL, 
	trials JSON NOT NULL, 
	study_name VARCHAR, 
	seconds FLOAT, 
	train_rows BIGINT, 
	run_id VARCHAR, 
	created_at DATETIME NOT NULL, 
	selection VARCHAR(64), 
	tasks JSON, 
	CONSTRAINT pk_studies PRIMARY KEY ("key"), 
	CONSTRAINT fk_studies_task_task_digest FOREIGN KEY(task, task_digest) REFERENCES tasks (name, digest), 
	CONSTRAINT fk_studies_backbone_digest FOREIGN KEY(backbone_digest) REFERENCES backbones (digest)
);
INSERT INTO "studies" VALUES('043a718774c572bd8a25adbeb1bfcd5c0256ae11cecf9f9c3f925d0e52beaf89','complete','b2e78e3a5bb1d60df728818ea576deafd6ba9b428fefe13794e012f226516dad','glue/cb','0beff02f2b055b43b26beea4dbc7ccf927efb12714ce589094f96101a89e3751','scalearn','{}','[{"key": "3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d", "task": "glue/rte"}, {"key": "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb", "task": "glue/rte"}]','accuracy',3,0.8,'{"dropout": 0.3, "init_scale": 2.0, "lr": 0.006}','{"complete": 12, "pruned": 4}','sweep/cb',NULL,NULL,NULL,'2026-11-21 12:00:00.000000',NULL,NULL);
INSERT INTO "studies" VALUES('a1fce4363854ff888cff4b8e7875d600c2682390412a8cf79b37d0b11148b0fa','complete','b2e78e3a5bb1d60df728818ea576deafd6ba9b428fefe13794e012f226516dad','glue/cb','0beff02f2b055b43b26beea4dbc7ccf927efb12714ce589094f96101a89e3751','scalearn','{}','[{"key": "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb", "task": "glue/rte"}]','accuracy',3,0.8,'{"dropout": 0.3, "init_scale": 2.0, "lr": 0.006}','{"complete": 12, "pruned": 4}','sweep/cb',NULL,NULL,NULL,'2026-11-21 12:00:00.000000','2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881',NULL);
CREATE TABLE sweep_steps (
	sweep_key VARCHAR(64) NOT NULL, 
	position INTEGER NOT NULL, 
	step_key VARCHAR(64), 
	kind VARCHAR NOT NULL, 
	title VARCHAR NOT NULL, 
	needs JSON NOT NULL, step_id VARCHAR, train_rows BIGINT, 
	CONSTRAINT pk_sweep_steps PRIMARY KEY (sweep_key, position), 
	CONSTRAINT fk_sweep_steps_sweep_key FOREIGN KEY(sweep_key) REFERENCES sweeps ("key")
);
INSERT INTO "sweep_steps" VALUES('dfd33796972c3baa5e1c065390e7e75cf9ac8fb637dd031aa86490f063e79784',0,'ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb','source','source · rte · seed 0','[]','source/glue/rte/seed=0',NULL);
INSERT INTO "sweep_steps" VALUES('dfd33796972c3baa5e1c065390e7e75cf9ac8fb637dd031aa86490f063e79784',1,'043a718774c572bd8a25adbeb1bfcd5c0256ae11cecf9f9c3f925d0e52beaf89','study','study · cb · scalearn','["source/glue/rte/seed=0"]','study/superglue/cb/scalearn',NULL);
CREATE TABLE sweeps (
	"key" VARCHAR(64) NOT NULL, 
	name VARCHAR NOT NULL, 
	spec VARCHAR NOT NULL, 
	state VARCHAR NOT NULL, 
	owner VARCHAR, 
	created_at FLOAT NOT NULL, 
	updated_at FLOAT NOT NULL, 
	cancel_requested_at FLOAT, reason VARCHAR, started_at FLOAT, ended_at FLOAT, archived_at FLOAT, device_seconds FLOAT, exit_code INTEGER, n_steps INTEGER, 
	CONSTRAINT pk_sweeps PRIMARY KEY ("key")
);
INSERT INTO "sweeps" VALUES('dfd33796972c3baa5e1c065390e7e75cf9ac8fb637dd031aa86490f063e79784','glue','{"name":"glue"}','complete','someone',1.79597215530800533292e+09,1.79597215531098246569e+09,NULL,NULL,1.79597215530800533292e+09,1.79597215531098246569e+09,NULL,NULL,NULL,2);
CREATE TABLE tasks (
	name VARCHAR NOT NULL, 
	digest VARCHAR(64) NOT NULL, 
	problem_type VARCHAR, 
	n_labels INTEGER, 
	metric VARCHAR, 
	n_train INTEGER, 
	n_validation INTEGER, 
	n_test INTEGER, 
	created_at DATETIME NOT NULL, 
	CONSTRAINT pk_tasks PRIMARY KEY (name, digest)
);
INSERT INTO "tasks" VALUES('glue/rte','e06673bc032fea2a4da923cccb94158f25ff5a452d77970dd22edf6cc07590c8','classification',2,'accuracy',100,20,30,'2026-11-29 17:09:15.214986');
INSERT INTO "tasks" VALUES('glue/cola','3c5b9765d7f2f8390549f2b38cc0bd3aae07566dd38ca771482985676f957758',NULL,NULL,NULL,NULL,NULL,NULL,'2026-11-21 12:00:00.000000');
INSERT INTO "tasks" VALUES('glue/rte','dda75378e818952c07cdc323968b88627a7232bc4c6e11bd0cb58b11d1ccfc40',NULL,NULL,NULL,NULL,NULL,NULL,'2026-11-21 12:00:00.000000');
INSERT INTO "tasks" VALUES('glue/cola','070f088b0fa81465bf5c06a700ed1a8f4bd40495d46ef1827d42e9ef03af752f',NULL,NULL,NULL,NULL,NULL,NULL,'2026-11-21 12:00:00.000000');
INSERT INTO "tasks" VALUES('glue/cb','0beff02f2b055b43b26beea4dbc7ccf927efb12714ce589094f96101a89e3751',NULL,NULL,NULL,NULL,NULL,NULL,'2026-11-21 12:00:00.000000');
CREATE TABLE tracking_runs (
	node VARCHAR NOT NULL, 
	run_id VARCHAR NOT NULL, 
	created_at FLOAT NOT NULL, 
	CONSTRAINT pk_tracking_runs PRIMARY KEY (node)
);
INSERT INTO "tracking_runs" VALUES('ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb','run-of-a',1.79597215531198835377e+09);
CREATE TABLE transfers (
	"key" VARCHAR(64) NOT NULL, 
	state VARCHAR NOT NULL, 
	study_key VARCHAR(64) NOT NULL, 
	backbone_digest VARCHAR(64) NOT NULL, 
	task VARCHAR NOT NULL, 
	task_digest VARCHAR(64) NOT NULL, 
	combiner VARCHAR NOT NULL, 
	settings JSON NOT NULL, 
	seed BIGINT NOT NULL, 
	metric VARCHAR NOT NULL, 
	validation_value FLOAT, 
	test_value FLOAT, 
	epochs INTEGER, 
	best_epoch INTEGER, 
	blob VARCHAR(64) NOT NULL, 
	blob_bytes BIGINT NOT NULL, 
	coefficient_shape JSON NOT NULL, 
	n_parameters BIGINT, 
	head_parameters BIGINT, 
	seconds FLOAT, 
	train_rows BIGINT, 
	device VARCHAR, 
	run_id VARCHAR, 
	created_at DATETIME NOT NULL, device_name VARCHAR, adapterlab_version VARCHAR, git_commit VARCHAR, python_version VARCHAR, torch_version VARCHAR, transformers_version VARCHAR, n_metrics INTEGER, 
	CONSTRAINT pk_transfers PRIMARY KEY ("key"), 
	CONSTRAINT fk_transfers_backbone_digest FOREIGN KEY(backbone_digest) REFERENCES backbones (digest), 
	CONSTRAINT fk_transfers_study_key FOREIGN KEY(study_key) REFERENCES studies ("key"), 
	CONSTRAINT fk_transfers_task_task_digest FOREIGN KEY(task, task_digest) REFERENCES tasks (name, digest)
);
INSERT INTO "transfers" VALUES('e3b98a4da31a127d4bde6e43033f66ba274cab0eb7eb1c70ec41402bf6273dd8','complete','043a718774c572bd8a25adbeb1bfcd5c0256ae11cecf9f9c3f925d0e52beaf89','b2e78e3a5bb1d60df728818ea576deafd6ba9b428fefe13794e012f226516dad','glue/cb','0beff02f2b055b43b26beea4dbc7ccf927efb12714ce589094f96101a89e3751','scalearn','{"lr": 0.006}',0,'accuracy',0.8,0.75,NULL,NULL,'e3b98a4da31a127d4bde6e43033f66ba274cab0eb7eb1c70ec41402bf6273dd8',1,'[2, 1, 8]',16,30,NULL,NULL,NULL,NULL,'2026-11-21 12:00:00.000000','AMD EPYC','0.1.0','9505cacb7c710ed17125fcc6cb3669e8ddca6c8c','3.12.4','2.9.0+cpu',NULL,3);
CREATE INDEX ix_lineage_parent ON lineage (parent);
CREATE INDEX ix_metrics_name_kind_split_backbone_digest_value_method ON metrics (name, kind, split, backbone_digest, value, method);
CREATE INDEX ix_metrics_name_kind_split_method_value ON metrics (name, kind, split, method, value);
CREATE INDEX ix_metrics_name_kind_split_task_value_method_backbone_digest ON metrics (name, kind, split, task, value, method, backbone_digest);
CREATE INDEX ix_metrics_name_kind_split_value ON metrics (name, kind, split, value);
CREATE INDEX ix_sweeps_name_updated_at ON sweeps (name, updated_at);
CREATE INDEX ix_sweeps_updated_at ON sweeps (updated_at);
CREATE INDEX ix_adapters_backbone_digest_created_at ON adapters (backbone_digest, created_at);
CREATE INDEX ix_adapters_backbone_digest_method_created_at ON adapters (backbone_digest, method, created_at);
CREATE INDEX ix_adapters_backbone_digest_method_metric_value ON adapters (backbone_digest, method, metric_value);
CREATE INDEX ix_adapters_backbone_digest_metric_value ON adapters (backbone_digest, metric_value);
CREATE INDEX ix_adapters_blob ON adapters (blob);
CREATE INDEX ix_adapters_created_at ON adapters (created_at);
CREATE INDEX ix_adapters_method_created_at ON adapters (method, created_at);
CREATE INDEX ix_adapters_method_metric_value ON adapters (method, metric_value);
CREATE INDEX ix_adapters_metric_value ON adapters (metric_value);
CREATE INDEX ix_adapters_seed_created_at ON adapters (seed, created_at);
CREATE INDEX ix_adapters_seed_metric_value ON adapters (seed, metric_value);
CREATE INDEX ix_adapters_task_created_at_method_backbone_digest ON adapters (task, created_at, method, backbone_digest);
CREATE INDEX ix_adapters_task_metric_value_method_backbone_digest ON adapters (task, metric_value, method, backbone_digest);
CREATE INDEX ix_sweep_steps_step_key ON sweep_steps (step_key);
CREATE INDEX ix_transfers_backbone_digest_combiner_created_at ON transfers (backbone_digest, combiner, created_at);
CREATE INDEX ix_transfers_backbone_digest_combiner_test_value ON transfers (backbone_digest, combiner, test_value);
CREATE INDEX ix_transfers_backbone_digest_created_at ON transfers (backbone_digest, created_at);
CREATE INDEX ix_transfers_backbone_digest_test_value ON transfers (backbone_digest, test_value);
CREATE INDEX ix_transfers_blob ON transfers (blob);
CREATE INDEX ix_transfers_combiner_created_at ON transfers (combiner, created_at);
CREATE INDEX ix_transfers_combiner_test_value ON transfers (combiner, test_value);
CREATE INDEX ix_transfers_created_at ON transfers (created_at);
CREATE INDEX ix_transfers_seed_created_at ON transfers (seed, created_at);
CREATE INDEX ix_transfers_seed_test_value ON transfers (seed, test_value);
CREATE INDEX ix_transfers_study_key ON transfers (study_key);
CREATE INDEX ix_transfers_task_created_at_combiner_backbone_digest ON transfers (task, created_at, combiner, backbone_digest);
CREATE INDEX ix_transfers_task_test_value_combiner_backbone_digest ON transfers (task, test_value, combiner, backbone_digest);
CREATE INDEX ix_transfers_test_value ON transfers (test_value);
CREATE INDEX ix_coefficients_adapter_key ON coefficients (adapter_key);
CREATE INDEX ix_coefficients_source_task ON coefficients (source_task);
CREATE INDEX ix_joint_runs_blob ON joint_runs (blob);
CREATE INDEX ix_joint_runs_created_at ON joint_runs (created_at);
CREATE INDEX ix_joint_runs_method_created_at ON joint_runs (method, created_at);
CREATE INDEX ix_joint_runs_backbone_digest_created_at ON joint_runs (backbone_digest, created_at);
CREATE INDEX ix_selections_created_at ON selections (created_at);
CREATE INDEX ix_selections_task_created_at_rule_backbone_digest ON selections (task, created_at, rule, backbone_digest);
CREATE INDEX ix_selections_rule_created_at ON selections (rule, created_at);
CREATE INDEX ix_selections_backbone_digest_created_at ON selections (backbone_digest, created_at);
CREATE INDEX ix_studies_best_value ON studies (best_value);
CREATE INDEX ix_studies_backbone_digest_combiner_created_at ON studies (backbone_digest, combiner, created_at);
CREATE INDEX ix_studies_combiner_created_at ON studies (combiner, created_at);
CREATE INDEX ix_studies_task_created_at_combiner_backbone_digest ON studies (task, created_at, combiner, backbone_digest);
CREATE INDEX ix_studies_backbone_digest_created_at ON studies (backbone_digest, created_at);
CREATE INDEX ix_studies_created_at ON studies (created_at);
CREATE INDEX ix_studies_backbone_digest_combiner_best_value ON studies (backbone_digest, combiner, best_value);
CREATE INDEX ix_studies_combiner_best_value ON studies (combiner, best_value);
CREATE INDEX ix_studies_selection ON studies (selection);
CREATE INDEX ix_studies_task_best_value_combiner_backbone_digest ON studies (task, best_value, combiner, backbone_digest);
CREATE INDEX ix_studies_backbone_digest_best_value ON studies (backbone_digest, best_value);
COMMIT;
